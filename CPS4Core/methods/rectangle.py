"""Random rectangles, by which copy-paste methods mix slices."""

from __future__ import annotations

import torch
from torch import Tensor


def random_rectangle(size: tuple[int, int], height: int, width: int) -> Tensor:
    """True in one rectangle of that height and width, somewhere in [h, w], on the CPU."""
    rows, cols = size
    top = int(torch.randint(rows - height + 1, ()))
    left = int(torch.randint(cols - width + 1, ()))
    inside = torch.zeros(size, dtype=torch.bool)
    inside[top : top + height, left : left + width] = True
    return inside
