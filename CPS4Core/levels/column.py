"""The column's middle line through a volume, and where voxels lie along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, uniform_filter1d
from scipy.spatial import cKDTree

from CPS4Core.levels.options import DecodingOptions

STEEPEST = 1.5
"""Front-to-back mm per mm downwards that the middle line may run (the upper sacrum's slope)."""


@dataclass(frozen=True)
class Column:
    """The middle line from the lowest row upwards, a point every `bin_mm`.

    points: [N, 3] in mm along (slice, row, col) from voxel 0. backwards: [N, 3] unit vectors in
    the sagittal plane, across the line towards the back.
    """

    points: np.ndarray
    backwards: np.ndarray
    bin_mm: float

    def locate(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxel places [M, 3] in mm -> nearest point [M], mm behind the line, mm aside."""
        _, nearest = cKDTree(self.points).query(voxels)
        away = voxels - self.points[nearest]
        behind = (away * self.backwards[nearest]).sum(axis=1)
        return nearest, behind, away[:, 0]


def find_column(
    vertebra: np.ndarray,
    disc: np.ndarray,
    spacing: tuple[float, float, float],
    rows: tuple[int, int],
    options: DecodingOptions,
) -> Column | None:
    """The middle line through the shape evidence [S, h, w]; None where there is no evidence.

    rows: first and last + 1 of the rows that belong to the image. Discs lead the line, since only
    the column has them; what has bone in front of it is posterior elements or fat.
    """
    slice_mm, row_mm, col_mm = spacing
    first, last = rows
    flat = (vertebra + 2 * disc).sum(axis=0)[first:last]
    if flat.sum() <= 0 or (vertebra + disc).max() < options.absent_below:
        return None
    # Evidence over the whole depth of a body, so that the line runs in its middle.
    wide = gaussian_filter(flat, (6 / row_mm, 8 / col_mm))
    wide /= max(float(np.percentile(wide.max(axis=1), 75)), 1e-9)
    wide = np.minimum(wide, 1.2)
    at_front = _shifted(uniform_filter1d(wide, max(1, round(30 / col_mm)), axis=1), 42 / col_mm)
    path = _best_path(wide - 0.4 * at_front, row_mm, col_mm)
    cols = np.arange(flat.shape[1])
    near = np.exp(-0.5 * (((cols[None] - path[:, None]) * col_mm) / 10) ** 2) * flat
    mass = near.sum(axis=1)
    blur = 8 / row_mm
    weight = gaussian_filter1d(mass, blur) + 1e-3 * mass.max()
    drawn = gaussian_filter1d((near * cols).sum(axis=1) + 1e-3 * mass.max() * path, blur)
    line = gaussian_filter1d(drawn / (gaussian_filter1d(mass, blur) + 1e-3 * mass.max()), blur / 2)
    side = _side_line(vertebra + disc, line, spacing, rows, weight)
    along = np.stack([side * slice_mm, np.arange(first, last) * row_mm, line * col_mm], axis=1)[
        ::-1
    ]
    return _resample(along, options.bin_mm)


def _best_path(score: np.ndarray, row_mm: float, col_mm: float) -> np.ndarray:
    """Column index per row with the highest sum of scores, not steeper than STEEPEST."""
    rows, width = score.shape
    reach = max(1, round(STEEPEST * row_mm / col_mm))
    steps = np.arange(-reach, reach + 1)
    cost = 0.15 * (steps * col_mm / row_mm) ** 2 * row_mm / 4
    total = score[0].copy()
    back = np.zeros((rows, width), np.int32)
    places = np.arange(width)
    for r in range(1, rows):
        padded = np.pad(total, reach, constant_values=-np.inf)
        options = np.stack([padded[reach + s : reach + s + width] for s in steps]) - cost[:, None]
        choice = options.argmax(axis=0)
        back[r] = places + steps[choice]
        total = options[choice, places] + score[r]
    path = np.empty(rows, np.int64)
    path[-1] = total.argmax()
    for r in range(rows - 1, 0, -1):
        path[r - 1] = back[r, path[r]]
    return path


def _side_line(
    bone: np.ndarray,
    line: np.ndarray,
    spacing: tuple[float, float, float],
    rows: tuple[int, int],
    weight: np.ndarray,
) -> np.ndarray:
    """Slice index of the column's middle per row, smooth over two levels."""
    slices, _, width = bone.shape
    if slices == 1:
        return np.zeros(len(line))
    reach = max(1, round(12 / spacing[2]))
    window = np.clip(
        np.round(line).astype(int)[:, None] + np.arange(-reach, reach + 1), 0, width - 1
    )
    at = np.arange(rows[0], rows[1])
    mass = bone[:, at[:, None], window].sum(axis=2)
    places = np.arange(slices)[:, None]
    blur = 30 / spacing[1]
    rest = 1e-3 * float(mass.sum(axis=0).max()) + 1e-9
    top = gaussian_filter1d((mass * places).sum(axis=0) + rest * (slices - 1) / 2, blur)
    return np.asarray(top / (gaussian_filter1d(mass.sum(axis=0), blur) + rest))


def _shifted(image: np.ndarray, by: float) -> np.ndarray:
    """The image moved backwards by whole columns, 0 where nothing comes in."""
    step = round(by)
    moved = np.zeros_like(image)
    if step < image.shape[1]:
        moved[:, step:] = image[:, : image.shape[1] - step]
    return moved


def _resample(along: np.ndarray, step: float) -> Column | None:
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(along, axis=0), axis=1))])
    if lengths[-1] < 2 * step:
        return None
    at = np.arange(step / 2, lengths[-1], step)
    points = np.stack([np.interp(at, lengths, along[:, k]) for k in range(3)], axis=1)
    upwards = np.gradient(points[:, 1:], axis=0)
    upwards /= np.linalg.norm(upwards, axis=1, keepdims=True) + 1e-9
    # Upwards is (row, col); a quarter turn gives the direction across, towards higher columns.
    backwards = np.stack([np.zeros(len(at)), upwards[:, 1], -upwards[:, 0]], axis=1)
    return Column(points, backwards, step)
