"""The direction in which a small change of an image changes its segmentation most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms still use their batch's statistics, but keep no memory of it."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def adversarial_direction(
    images: Tensor, distance: Callable[[Tensor], Tensor], reach: float
) -> Tensor:
    """`d <- normalised grad_d distance(x + reach d)` at a random d of length 1: [B, 1, h, w].

    One step of the power iteration of Miyato et al., TPAMI 2019; length 1 for each image.
    """
    direction = unit(torch.rand(images.shape) - 0.5).to(images.device).requires_grad_()
    # Scaled, so that half precision does not lose it; only the direction is wanted.
    scaled = images.numel() * distance(images + reach * direction)
    (gradient,) = torch.autograd.grad(scaled, direction)
    return unit(gradient.float()).detach()


def unit(change: Tensor) -> Tensor:
    """Each image's change [B, 1, h, w] at the Euclidean length 1; 0 stays 0."""
    length = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    return change / length[:, None, None, None]
