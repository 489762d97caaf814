"""The 2D residual U-Net of stage 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from CPS4Core.networks.normalisation import make_normalisation


class ConvBatchNorm(nn.Sequential):
    """3 x 3 convolution without bias, then batch normalisation, then ReLU unless told otherwise."""

    def __init__(self, inputs: int, outputs: int, activate: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if activate else []))


class ResidualBlock(nn.Module):
    """`r = CBR(x); out = ReLU(r + CB(CBR(r)))`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.enter = ConvBatchNorm(inputs, outputs)
        self.residual = nn.Sequential(
            ConvBatchNorm(outputs, outputs), ConvBatchNorm(outputs, outputs, activate=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        r = self.enter(x)
        return torch.relu(r + self.residual(r))


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
        self.divisor = 2 ** (len(widths) - 1)
        self.normalise = make_normalisation(normalise, rows)
        self.down = nn.ModuleList(
            ResidualBlock(i, o) for i, o in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True))
        self.raise_ = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1) for i, o in pairs
        )
        self.up = nn.ModuleList(ResidualBlock(o, o) for _, o in pairs)
        self.head = nn.Conv2d(widths[0], class_count, 1)

    def features(self, image: Tensor) -> Tensor:
        """Features before the head: [B, 1, H, W] in 0..1 -> [B, widths[0], H, W]."""
        with torch.autocast(image.device.type, enabled=False):
            x = self.normalise(image.float())
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for raise_, block in zip(self.raise_, self.up, strict=True):
            x = block(raise_(x) + skips.pop())
        return x

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, H, W] in 0..1, H and W multiples of `divisor` -> logits [B, K, H, W], always."""
        return self.head(self.features(image))
