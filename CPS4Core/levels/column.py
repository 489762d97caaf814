"""The column's middle line through a volume, and where voxels lie along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates, uniform_filter1d
from scipy.spatial import cKDTree

from CPS4Core.levels.options import DecodingOptions

STEEPEST = 1.5
"""Front-to-back mm per mm downwards that the middle line may run (the upper sacrum's slope)."""

HALF_REACH = 24.0
"""mm before and behind the line in which it looks for the middle of a body."""

SMOOTH_MM = 12.0
"""Bends of the line shorter than about 6 times this are smoothed away."""

REFINEMENTS = 3


@dataclass(frozen=True)
class Column:
    """The middle line from the lowest row upwards, a point every `bin_mm`.

    points: [N, 3] in mm along (slice, row, col) from voxel 0. backwards: [N, 3] unit vectors in
    the sagittal plane, across the line towards the back.
    """

    points: np.ndarray
    backwards: np.ndarray
    bin_mm: float

    def locate(
        self, voxels: tuple[np.ndarray, ...], spacing: tuple[float, float, float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxel indices (slice, row, col), [M] each -> nearest point [M], mm behind it, mm aside.

        The nearest point is sought in the sagittal plane, once per pixel, and then moved by the
        line's tilt to the side, which comes to the same for curves as wide as a spine's.
        """
        slices, rows, cols = voxels
        pixels = np.zeros((int(rows.max(initial=0)) + 1, int(cols.max(initial=0)) + 1), np.int64)
        pixels[rows, cols] = 1
        used = np.argwhere(pixels) * spacing[1:]
        pixels[pixels > 0] = np.arange(len(used))
        _, nearest = cKDTree(self.points[:, 1:]).query(used)
        away = ((used - self.points[nearest, 1:]) * self.backwards[nearest, 1:]).sum(axis=1)
        pixel = pixels[rows, cols]
        point = nearest[pixel]
        tilt = np.gradient(self.points[:, 0]) / self.bin_mm
        aside = slices * spacing[0] - self.points[point, 0]
        moved = point + np.round(aside * tilt[point] / self.bin_mm).astype(np.int64)
        return np.clip(moved, 0, len(self.points) - 1), away[pixel], aside


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
    slices = len(vertebra)
    slice_mm, row_mm, col_mm = spacing
    first, last = rows
    flat = (vertebra + 2 * disc).sum(axis=0)[first:last] / slices
    if flat.sum() <= 0 or (vertebra + disc).max() < options.absent_below:
        return None
    # Evidence over the whole depth of a body, so that the line runs in its middle.
    wide = gaussian_filter(flat, (6 / row_mm, 8 / col_mm))
    strongest = wide.max(axis=1)
    wide /= max(float(np.percentile(strongest, 75)), 0.3 * float(strongest.max()))
    wide = np.minimum(wide, 1.2) * _alternation(vertebra, disc, spacing)[first:last]
    at_front = _shifted(uniform_filter1d(wide, max(1, round(30 / col_mm)), axis=1), 42 / col_mm)
    path = _best_path(wide - 0.4 * at_front, row_mm, col_mm)
    rising = np.arange(len(path))[::-1]
    line = np.stack([rising * row_mm, path[rising] * col_mm], axis=1)
    extent = (np.array(flat.shape) - 1) * [row_mm, col_mm]
    line = _resample(_smooth(line, np.ones(len(line)), row_mm), extent, options.bin_mm)
    for _ in range(REFINEMENTS):
        if len(line) < 3:
            return None
        line = _resample(_centred(line, flat, spacing), extent, options.bin_mm)
    if len(line) < 3:
        return None
    line[:, 0] += first * row_mm
    side = _side_line(vertebra + disc, line, spacing)
    return Column(np.column_stack([side * slice_mm, line]), _backwards(line), options.bin_mm)


def _alternation(
    vertebra: np.ndarray, disc: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """How much bone and disc take turns [h, w], 0.1 to 1: what only the column does."""
    blur = (15 / spacing[1], 6 / spacing[2])
    bone, between = (gaussian_filter(m.sum(axis=0), blur) for m in (vertebra, disc))
    if not between.any():
        return np.ones_like(bone)
    share = between / np.maximum(bone + between, 1e-9)
    return np.asarray(np.clip(np.minimum(share, (1 - share) / 2) / 0.15, 0.1, 1))


def _centred(line: np.ndarray, flat: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The line [N, 2] moved to the middle of the evidence across it, straight on where none is."""
    across = np.arange(-HALF_REACH, HALF_REACH + 1, 2.0)
    backwards = _backwards(line)[:, 1:]
    at = line[:, None] + across[:, None] * backwards[:, None]
    near = np.exp(-0.5 * (across / 10) ** 2)
    seen = near * map_coordinates(
        flat, np.moveaxis(at, 2, 0) / np.reshape(spacing[1:], (2, 1, 1)), order=1
    )
    mass = seen.sum(axis=1)
    middle = (seen @ across) / np.maximum(mass, 1e-9)
    weight = np.minimum(1, mass / max(float(np.percentile(mass, 75)), 1e-9)) ** 2 + 1e-4
    step = float(np.linalg.norm(line[1] - line[0]))
    return _smooth(line + middle[:, None] * backwards, weight, step)


def _smooth(line: np.ndarray, weight: np.ndarray, step: float) -> np.ndarray:
    """Whittaker's smoother: least squares with a penalty on bending, straight on without weight."""
    n = len(line)
    bands = np.tile([[1.0], [-4.0], [6.0]], n)  # D'D of the second differences D, upper bands
    bands[1, [1, -1]] = -2
    bands[2, [0, 1, -2, -1]] = 1, 5, 5, 1
    bands *= (SMOOTH_MM / step) ** 4
    bands[2] += weight
    return np.asarray(solveh_banded(bands, weight[:, None] * line))


def _best_path(score: np.ndarray, row_mm: float, col_mm: float) -> np.ndarray:
    """Column index per row with the highest sum of scores, not steeper than STEEPEST."""
    rows, width = score.shape
    reach = max(1, round(STEEPEST * row_mm / col_mm))
    steps = np.arange(-reach, reach + 1)
    cost = 0.5 * (steps * col_mm / row_mm) ** 2 * row_mm / 4
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
    bone: np.ndarray, line: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Slice index of the column's middle per point of the line, smooth over two levels."""
    slices, height, width = bone.shape
    reach = np.arange(-12.0, 13.0, spacing[2])
    rows = np.clip(np.round(line[:, 0] / spacing[1]).astype(int), 0, height - 1)
    cols = np.round((line[:, 1:] + reach) / spacing[2]).astype(int)
    mass = bone[:, rows[:, None], np.clip(cols, 0, width - 1)].sum(axis=2)
    places = np.arange(slices)[:, None]
    blur = 30 / float(np.linalg.norm(line[1] - line[0]))
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


def _resample(line: np.ndarray, extent: np.ndarray, step: float) -> np.ndarray:
    """Points every `step` mm on a line [N, 2], run on to the image's border and cut there."""
    ends = [line[0] + (line[0] - line[2]) * 20, line[-1] + (line[-1] - line[-3]) * 20]
    line = np.concatenate([ends[:1], line, ends[1:]])
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.arange(step / 2, lengths[-1], step)
    points = np.stack([np.interp(at, lengths, line[:, k]) for k in range(2)], axis=1)
    inside = ((points >= 0) & (points <= extent)).all(axis=1)
    return points[inside]


def _backwards(line: np.ndarray) -> np.ndarray:
    """Unit vectors [N, 3] across a line [N, 2] of (row, col) that runs upwards, to the back."""
    upwards = np.gradient(line, axis=0)
    upwards /= np.linalg.norm(upwards, axis=1, keepdims=True) + 1e-9
    # A quarter turn of (row, col) upwards gives the direction towards higher columns.
    return np.column_stack([np.zeros(len(line)), upwards[:, 1], -upwards[:, 0]])
