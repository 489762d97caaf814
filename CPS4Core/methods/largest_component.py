"""Pseudo-labels without islands: of every class the largest connected part of each slice."""

from __future__ import annotations

import numpy as np
import torch
from skimage.measure import label
from torch import Tensor


def largest_components(labels: Tensor) -> Tensor:
    """Class indices [B, h, w]; all but each class's largest part (8-connected) is background."""
    kept = [_largest(plane) for plane in labels.cpu().numpy()]
    return torch.from_numpy(np.stack(kept)).to(labels)


def _largest(plane: np.ndarray) -> np.ndarray:
    parts = label(plane, background=0, connectivity=2)
    sizes = np.bincount(parts.ravel())
    class_of = np.zeros(len(sizes), plane.dtype)
    class_of[parts.ravel()] = plane.ravel()
    keep = np.zeros(len(sizes), bool)
    for index in np.unique(class_of[1:]):
        members = np.flatnonzero(class_of == index)
        keep[members[sizes[members].argmax()]] = True
    return np.where(keep[parts], plane, 0)
