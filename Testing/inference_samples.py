"""Volumes whose segmentation by the tiny model is known beforehand."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

SPACING = (1.1, 1.0, 4.0)
"""Of columns, rows and slices in mm."""
BOX = np.s_[8:24, 6:18]
"""[rows, cols] of a bright block in every slice."""


def core_of(slice_index: int) -> tuple[slice, slice]:
    """[rows, cols] of a brighter, posterior part of the block, lower in each further slice."""
    top = 9 + slice_index
    return slice(top, top + 6), slice(12, 16)


def sagittal_volume(slices: int = 6, rows: int = 56, cols: int = 44) -> sitk.Image:
    """A dark volume with a bright block; x runs posterior, y inferior, z left."""
    array = np.random.default_rng(0).integers(0, 20, (slices, rows, cols)).astype(np.int16)
    for number, plane in enumerate(array):
        plane[BOX] += 300
        plane[core_of(number)] += 900
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    return image
