"""The building blocks of the residual U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


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


def transposed_convolution(inputs: int, outputs: int) -> nn.Module:
    """Twice the size by a learned kernel."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def make_way_up(
    widths: Sequence[int], make_raise: Callable[[int, int], nn.Module] = transposed_convolution
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """What raises each level and the block after it, from the bottom up; `climb` walks them."""
    pairs = list(zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True))
    raises = nn.ModuleList(make_raise(i, o) for i, o in pairs)
    return raises, nn.ModuleList(ResidualBlock(o, o) for _, o in pairs)


def climb(
    levels: Sequence[Tensor], raises: Iterable[nn.Module], blocks: Iterable[nn.Module]
) -> Tensor:
    """From the encoder's levels, top first, back to full size; skips are summed.

    `raises` double the size and `blocks` follow the sums, both from the bottom up.
    """
    *skips, x = levels
    for raise_, block in zip(raises, blocks, strict=True):
        x = block(raise_(x) + skips.pop())
    return x
