"""Evidence along the column: class probabilities averaged across it, a value every few mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from CPS4Core.levels.column import Column

HALF_DEPTH, HALF_WIDTH = 12.0, 15.0
"""How much around the middle line is looked at in mm: inside the bodies of small vertebrae too."""


ENOUGH_MM = 1.5
"""Of voxels finer than this not all are read."""


@dataclass(frozen=True)
class Profile:
    """classes: mean probabilities [N, K] upwards; extra: the same of extra maps, or None.

    seen: [N] whether any voxel of the volume lies there.
    """

    classes: np.ndarray
    extra: np.ndarray | None
    seen: np.ndarray


def column_profile(
    probabilities: np.ndarray,
    extra: np.ndarray | None,
    column: Column,
    spacing: tuple[float, float, float],
) -> Profile:
    """Average [S, K, h, w] maps in a tube around the column, across it."""
    voxels = _tube(column, (len(probabilities), *probabilities.shape[2:]), spacing)
    nearest, behind, aside = column.locate(tuple(voxels.T), spacing)
    width = max(HALF_WIDTH, 0.6 * spacing[0])
    inside = (np.abs(behind) <= HALF_DEPTH) & (np.abs(aside) <= width)
    voxels, nearest = voxels[inside], nearest[inside]
    count = np.bincount(nearest, minlength=len(column.points))
    blur = 1.0 / column.bin_mm

    def average(maps: np.ndarray) -> np.ndarray:
        values = maps[voxels[:, 0], :, voxels[:, 1], voxels[:, 2]].astype(np.float32)
        order = np.argsort(nearest, kind="stable")
        starts = np.searchsorted(nearest[order], np.arange(len(count)))
        sums = np.add.reduceat(
            np.concatenate([values[order], np.zeros((1, values.shape[1]), np.float32)]),
            starts,
            axis=0,
        )
        sums[count == 0] = 0
        # Bins between two rows may be empty; a little blur fills them from both sides.
        smooth = gaussian_filter1d(sums, blur, axis=0)
        weight = gaussian_filter1d(count.astype(np.float64), blur)
        return np.asarray(smooth / np.maximum(weight, 1e-6)[:, None])

    seen = gaussian_filter1d(count.astype(np.float64), blur) > 0
    return Profile(average(probabilities), None if extra is None else average(extra), seen)


def _tube(
    column: Column, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> np.ndarray:
    """Voxel indices [M, 3] around the column, a little more than the tube."""
    low = column.points.min(axis=0) - [HALF_WIDTH, 0, 0]
    high = column.points.max(axis=0) + [HALF_WIDTH, 0, 0]
    slices = np.arange(
        max(0, int(np.floor(low[0] / spacing[0]))),
        min(shape[0], int(np.ceil(high[0] / spacing[0])) + 1),
    )
    rows = np.arange(0, shape[1], max(1, int(ENOUGH_MM / spacing[1])))
    middle = np.interp(rows * spacing[1], column.points[::-1, 1], column.points[::-1, 2])
    # A steep line's tube is wider along the row than across the line.
    step = max(1, int(ENOUGH_MM / spacing[2]))
    reach = int(np.ceil(1.9 * HALF_DEPTH / spacing[2] / step)) * step
    cols = np.round(middle / spacing[2]).astype(int)[:, None] + np.arange(-reach, reach + 1, step)
    inside = (cols >= 0) & (cols < shape[2])
    row_of = np.broadcast_to(rows[:, None], cols.shape)[inside]
    plane = np.stack([row_of, cols[inside]], axis=1)
    return np.concatenate(
        [
            np.repeat(slices, len(plane))[:, None],
            np.tile(plane, (len(slices), 1)),
        ],
        axis=1,
    )
