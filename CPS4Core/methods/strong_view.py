"""A strong change of intensity: what is seen stays where it is and looks different."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def strong_view(images: Tensor) -> Tensor:
    """Images [B, 1, h, w] in 0..1 with other brightness and contrast (p = .8, factors .5 to 1.5)
    and blurred (p = .5, sigma .1 to 2 pixels); nothing is moved, the ground outside stays 0.
    """
    count, device = len(images), images.device
    brightness, contrast = (
        torch.where(torch.rand(count) < 0.8, 0.5 + torch.rand(count), torch.ones(()))
        .to(device)
        .view(-1, 1, 1, 1)
        for _ in range(2)
    )
    sigma = torch.where(torch.rand(count) < 0.5, 0.1 + 1.9 * torch.rand(count), torch.zeros(()))
    bright = images * brightness
    mean = bright.mean(dim=(2, 3), keepdim=True)
    changed = ((bright - mean) * contrast + mean).clamp(0, 1)
    return blurred(changed, sigma.to(device)) * (images > 0)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Images [B, 1, h, w] under a Gaussian of each one's own `sigma` [B] in pixels, 0: as it is."""
    reach = max(1, math.ceil(3 * float(sigma.max())))
    at = torch.arange(-reach, reach + 1, device=images.device)
    kernels = torch.exp(-0.5 * (at / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    count = len(images)
    with torch.autocast(images.device.type, enabled=False):
        x = F.pad(images.transpose(0, 1).float(), (reach,) * 4, mode="replicate")
        x = F.conv2d(x, kernels[:, None, :, None], groups=count)
        return F.conv2d(x, kernels[:, None, None, :], groups=count).transpose(0, 1)
