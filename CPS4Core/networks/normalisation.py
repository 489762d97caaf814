"""Intensity normalisation as a network's first layer, so that training and use cannot differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMALISATIONS = ("zscore", "local")


class ZScore(nn.Module):
    """Each slice to mean 0 and standard deviation 1; padding outside the scan counts as dark."""

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, H, W] -> the same shape, float32."""
        mean = image.mean(dim=(2, 3), keepdim=True)
        centred = image - mean
        deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
        return centred / (deviation + 1e-5)


class LocalContrast(nn.Module):
    """Subtract the local mean and divide by the local deviation, both under a Gaussian window.

    It takes out the bias of surface coils and bright fat, which change a vertebra's intensity
    more between scans than a vertebra differs from a disc. `sigma` is a share of the image's rows.
    """

    kernel: Tensor

    def __init__(self, rows: int, sigma: float = 0.0625, floor: float = 0.04):
        super().__init__()
        self.floor = floor
        width = sigma * rows
        reach = max(1, round(3 * width))
        at = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (at / width) ** 2)
        self.register_buffer("kernel", kernel / kernel.sum(), persistent=False)

    def _blur(self, image: Tensor) -> Tensor:
        reach = (self.kernel.numel() - 1) // 2
        column, row = self.kernel[None, None, :, None], self.kernel[None, None, None, :]
        # Zero padding with renormalisation: reflection would need images larger than the kernel.
        return F.conv2d(F.conv2d(image, column, padding=(reach, 0)), row, padding=(0, reach))

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, H, W] -> the same shape, float32, about unit variance."""
        weight = self._blur(torch.ones_like(image))
        mean = self._blur(image) / weight
        variance = self._blur(image.square()) / weight - mean.square()
        return (image - mean) / (variance.clamp_min(0).sqrt() + self.floor)


def make_normalisation(kind: str, rows: int) -> nn.Module:
    """The normalisation of that name for images of `rows` rows."""
    if kind == "zscore":
        return ZScore()
    if kind == "local":
        return LocalContrast(rows)
    raise ValueError(f"unknown normalisation '{kind}'; known: {', '.join(NORMALISATIONS)}")
