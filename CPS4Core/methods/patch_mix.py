"""UMIX: patches of which a network is unsure give way to those of which it is sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def entropy(probabilities: Tensor) -> Tensor:
    """`-sum_c p log p` of [B, K, h, w]: [B, h, w]."""
    p = probabilities.float()
    return -(p * p.clamp_min(1e-12).log()).sum(dim=1)


def patch_shape(size: tuple[int, int], grid: int) -> tuple[int, int]:
    """Rows and columns of one of `grid` x `grid` patches; fewer where the size is no multiple."""
    return size[0] // math.gcd(size[0], grid), size[1] // math.gcd(size[1], grid)


def patch_means(values: Tensor, patch: tuple[int, int]) -> Tensor:
    """The mean of [B, h, w] in every patch, row by row: [B, P]."""
    return F.avg_pool2d(values[:, None], patch).flatten(1)


def sources(first: Tensor, second: Tensor, most: int) -> Tensor:
    """Which patch stands in each place after mixing: [B, P] indices, from uncertainties [B, P].

    The `most` patches of which the first is least sure are overwritten by those of which the
    second is surest, then the other way round, among the patches as they stand by then.
    """
    most = min(most, first.shape[1])
    standing = torch.arange(first.shape[1], device=first.device).repeat(len(first), 1)
    for unsure, sure in ((first, second), (second, first)):
        places = unsure.topk(most, dim=1).indices
        donors = sure.topk(most, dim=1, largest=False).indices
        standing = standing.scatter(1, places, standing.gather(1, donors))
    return standing


def rearranged(planes: Tensor, standing: Tensor, patch: tuple[int, int]) -> Tensor:
    """Planes [B, C, h, w] with the patches of `sources` in each place."""
    batch, channels, height, width = planes.shape
    rows, cols = height // patch[0], width // patch[1]
    parts = planes.view(batch, channels, rows, patch[0], cols, patch[1])
    parts = parts.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    moved = parts[torch.arange(batch, device=planes.device)[:, None], standing]
    moved = moved.view(batch, rows, cols, channels, *patch).permute(0, 3, 1, 4, 2, 5)
    return moved.reshape(planes.shape)
