"""A further decoder on the residual U-Net's encoder, for methods that compare several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from CPS4Core.networks.blocks import climb, make_way_up, transposed_convolution


def interpolation(mode: str) -> Callable[[int, int], nn.Module]:
    """1 x 1 convolution, then interpolation to twice the size."""

    def make(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode=mode))

    return make


UPSAMPLING: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed": transposed_convolution,
    "bilinear": interpolation("bilinear"),
    "nearest": interpolation("nearest"),
}


class Decoder(nn.Module):
    """The way up of `ResUNet` with its own head; `upsampling` says how a level is raised."""

    def __init__(self, class_count: int, widths: Sequence[int], upsampling: str):
        super().__init__()
        self.raise_, self.up = make_way_up(widths, UPSAMPLING[upsampling])
        self.head = nn.Conv2d(widths[0], class_count, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """`ResUNet.encode`'s levels -> logits [B, K, H, W]."""
        return self.head(climb(levels, self.raise_, self.up))
