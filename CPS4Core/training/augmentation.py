"""Random changes of training slices: parameters are drawn first, then applied to image and label.

Nothing here flips or turns the spine by 90 degrees: levels count up from the sacrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import AugmentationConfig
from CPS4Core.schema import IGNORE_INDEX


@dataclass
class Change:
    """Drawn parameters for a batch of B slices.

    `grid` [B, h, w, 2] sampling positions in -1..1; `contrast`, `gamma` [B]; `bias` [B, 1, h, w]
    multiplicative field; `noise` [B, 1, h, w] additive.
    """

    grid: Tensor
    contrast: Tensor
    gamma: Tensor
    bias: Tensor
    noise: Tensor


class Augmentation:
    """Draws changes from its own generator, whose state belongs to a checkpoint."""

    def __init__(self, options: AugmentationConfig, seed: int):
        self.options = options
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, batch: int, size: tuple[int, int]) -> Change:
        """Parameters for `batch` slices of `size` (h, w), drawn on the CPU."""
        o = self.options
        angle = math.radians(o.rotation) * self._symmetric(batch)
        scale = torch.exp(self._uniform(batch, math.log(o.scale[0]), math.log(o.scale[1])))
        shift = 2 * o.shift * self._symmetric(batch, 2)
        height, width = size
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        # Rotation is taken in pixels, so that an oblong image is turned and not sheared.
        rows = torch.stack([cos, -sin * height / width, shift[:, 0]], dim=1)
        cols = torch.stack([sin * width / height, cos, shift[:, 1]], dim=1)
        grid = F.affine_grid(
            torch.stack([rows, cols], dim=1), [batch, 1, *size], align_corners=False
        )
        grid = grid + self._elastic(batch, size)
        return Change(
            grid=grid,
            contrast=self._sometimes(batch, o.contrast, o.contrast_probability),
            gamma=self._sometimes(batch, o.gamma, o.gamma_probability),
            bias=self._bias(batch, size),
            noise=o.noise
            * torch.rand(batch, 1, 1, 1, generator=self.generator)
            * torch.randn(batch, 1, *size, generator=self.generator),
        )

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=self.generator)

    def _symmetric(self, *shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=self.generator) - 1

    def _sometimes(self, batch: int, interval: tuple[float, float], probability: float) -> Tensor:
        drawn = self._uniform(batch, *interval)
        taken = torch.rand(batch, generator=self.generator) < probability
        return torch.where(taken, drawn, torch.ones(()))

    def _elastic(self, batch: int, size: tuple[int, int]) -> Tensor:
        o = self.options
        field = self._symmetric(batch, 2, *size)
        taken = torch.rand(batch, generator=self.generator) < o.elastic_probability
        if o.elastic_alpha == 0 or not taken.any():
            return torch.zeros(batch, *size, 2)
        reach = max(1, math.ceil(3 * o.elastic_sigma))
        at = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (at / o.elastic_sigma) ** 2)
        kernel = kernel / kernel.sum()
        flat = field.reshape(batch * 2, 1, *size)
        flat = F.conv2d(flat, kernel[None, None, :, None], padding=(reach, 0))
        flat = F.conv2d(flat, kernel[None, None, None, :], padding=(0, reach))
        pixels = o.elastic_alpha * flat.reshape(batch, 2, *size) * taken[:, None, None, None]
        in_units = torch.tensor([2 / size[1], 2 / size[0]])
        return pixels.permute(0, 2, 3, 1) * in_units

    def _bias(self, batch: int, size: tuple[int, int]) -> Tensor:
        coarse = self.options.bias * torch.randn(batch, 1, 4, 4, generator=self.generator)
        return torch.exp(F.interpolate(coarse, size, mode="bicubic", align_corners=False))


def apply_to_images(images: Tensor, change: Change) -> Tensor:
    """Images [B, 1, h, w] in 0..1, changed in shape and intensity; 0..1 again, 0 outside."""
    device = images.device
    moved = F.grid_sample(images, change.grid.to(device), padding_mode="zeros", align_corners=False)
    inside = moved > 0
    mean = moved.mean(dim=(2, 3), keepdim=True)
    contrasted = (moved - mean) * change.contrast.to(device)[:, None, None, None] + mean
    powered = contrasted.clamp(0, 1) ** change.gamma.to(device)[:, None, None, None]
    changed = powered * change.bias.to(device) + change.noise.to(device)
    return changed.clamp(0, 1) * inside


def apply_to_labels(labels: Tensor, change: Change) -> Tensor:
    """Class indices [B, h, w], moved by nearest neighbour; what comes from outside is ignored."""
    shifted = labels[:, None].float() - IGNORE_INDEX  # so that zero padding means "ignore"
    moved = F.grid_sample(
        shifted,
        change.grid.to(labels.device),
        mode="nearest",
        padding_mode="zeros",
        align_corners=False,
    )
    return (moved[:, 0] + IGNORE_INDEX).round().long()
