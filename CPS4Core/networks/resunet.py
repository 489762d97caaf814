"""The 2D residual U-Net of stage 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from CPS4Core.networks.blocks import ResidualBlock, climb, make_way_up
from CPS4Core.networks.normalisation import make_normalisation


class ResUNet(nn.Module):
    """Residual U-Net with max pooling, transposed convolutions and summed skip connections.

    Parameters
    ----------
    class_count: K, the background included.
    widths: channels of each level, top first; each further level halves the image.
    normalise: what the first layer does to intensities (`zscore` or `local`).
    rows: image rows at the working size (the scale of `local`).
    """

    def __init__(
        self, class_count: int, widths: Sequence[int], normalise: str = "zscore", rows: int = 256
    ):
        super().__init__()
        self.class_count, self.widths = class_count, tuple(widths)
        self.divisor = 2 ** (len(widths) - 1)
        self.normalise = make_normalisation(normalise, rows)
        self.down = nn.ModuleList(
            ResidualBlock(i, o) for i, o in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.raise_, self.up = make_way_up(widths)
        self.head = nn.Conv2d(widths[0], class_count, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """[B, 1, H, W] in 0..1 -> features of each level, [B, widths[i], H/2^i, W/2^i]."""
        with torch.autocast(image.device.type, enabled=False):
            x = self.normalise(image.float())
        levels: list[Tensor] = []
        for block in self.down:
            x = block(self.pool(x) if levels else x)
            levels.append(x)
        return levels

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """What `encode` gives -> features before the head: [B, widths[0], H, W]."""
        return climb(levels, self.raise_, self.up)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, H, W] in 0..1, H and W multiples of `divisor` -> logits [B, K, H, W], always."""
        return self.head(self.decode(self.encode(image)))
