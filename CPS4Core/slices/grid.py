"""The working grid: a native sagittal slice to the network's image size and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from CPS4Core.config import InputConfig
from CPS4Core.schema import IGNORE_INDEX


@dataclass(frozen=True)
class SliceGrid:
    """Maps native slices [R, C] to working slices [h, w] and results back.

    Parameters
    ----------
    native: R, C of the native slice.
    spacing: row and column spacing in mm.
    size: h, w of the working slice.
    fit: `pad` keeps proportions in mm and fills the rest with 0; `stretch` fills the whole image.
    ap_fraction: share of the anterior-posterior axis that is kept, centred (1: all of it).
    """

    native: tuple[int, int]
    spacing: tuple[float, float]
    size: tuple[int, int]
    fit: str = "pad"
    ap_fraction: float = 1.0

    @property
    def source(self) -> tuple[float, float, float, float]:
        """Native window as (left, top, right, bottom) in pixel edges."""
        rows, cols = self.native
        margin = cols * (1 - self.ap_fraction) / 2
        return margin, 0.0, cols - margin, float(rows)

    @property
    def content(self) -> tuple[int, int, int, int]:
        """Where the window lies in the working slice: (top, left, height, width)."""
        height, width = self.size
        if self.fit == "stretch":
            return 0, 0, height, width
        left, top, right, bottom = self.source
        tall, wide = (bottom - top) * self.spacing[0], (right - left) * self.spacing[1]
        pixel = max(tall / height, wide / width)
        used = min(height, max(1, round(tall / pixel))), min(width, max(1, round(wide / pixel)))
        return (height - used[0]) // 2, (width - used[1]) // 2, *used

    @property
    def working_spacing(self) -> tuple[float, float]:
        """Row and column spacing of the working slice in mm."""
        left, top, right, bottom = self.source
        _, _, height, width = self.content
        return (bottom - top) * self.spacing[0] / height, (right - left) * self.spacing[1] / width

    def to_working(self, image: np.ndarray) -> np.ndarray:
        """Native [R, C] -> working [h, w] float32, anti-aliased; 0 where there is no image."""
        top, left, height, width = self.content
        picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR, box=self.source)
        working = np.zeros(self.size, np.float32)
        working[top : top + height, left : left + width] = np.asarray(resized)
        return working

    def labels_to_working(self, indices: np.ndarray) -> np.ndarray:
        """Native class indices [R, C] -> working [h, w] uint8: the class with the largest share.

        What lies outside the native image is ignored, not background.
        """
        best = np.zeros(self.size, np.float32)
        working = np.full(self.size, IGNORE_INDEX, np.uint8)
        for value in np.unique(indices):
            share = self.to_working(indices == value)
            wins = share > best
            working[wins], best[wins] = value, share[wins]
        return working

    def from_working(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Working probabilities [K, h, w] -> native indices [R, C] uint8 and their probability.

        Probabilities are interpolated, then compared, so outlines stay smooth. Work is limited to
        the window in which any foreground class can win.
        """
        top, left, height, width = self.content
        inside = probabilities[:, top : top + height, left : left + width]
        indices = np.zeros(self.native, np.uint8)
        certainty = np.ones(self.native, np.float32)
        contested = inside[0] < inside[1:].max(axis=0) + 0.5
        if not contested.any():
            return indices, certainty
        box = _bounds(contested, margin=2)
        classes = [0, *(1 + np.flatnonzero(inside[1:].max(axis=(1, 2)) > 0.1))]
        window, target = self._native_window(box)
        rows, cols = slice(target[0], target[1]), slice(target[2], target[3])
        best = np.full((target[1] - target[0], target[3] - target[2]), -1, np.float32)
        winner = np.zeros(best.shape, np.uint8)
        for index in classes:
            plane = np.ascontiguousarray(inside[index], dtype=np.float32)
            enlarged = np.asarray(
                Image.fromarray(plane).resize(
                    best.shape[::-1], Image.Resampling.BILINEAR, box=window
                )
            )
            wins = enlarged > best
            np.copyto(winner, np.uint8(index), where=wins)
            np.maximum(best, enlarged, out=best)
        indices[rows, cols], certainty[rows, cols] = winner, best
        return indices, certainty

    def map_to_native(self, working: np.ndarray) -> np.ndarray:
        """One plane [h, w] (a prompt map) -> native [R, C] float32; 0 outside the window."""
        top, left, height, width = self.content
        plane = np.ascontiguousarray(working[top : top + height, left : left + width], np.float32)
        window, (r0, r1, c0, c1) = self._native_window((0, height, 0, width))
        native = np.zeros(self.native, np.float32)
        native[r0:r1, c0:c1] = np.asarray(
            Image.fromarray(plane).resize((c1 - c0, r1 - r0), Image.Resampling.BILINEAR, box=window)
        )
        return native

    def _native_window(
        self, box: tuple[int, int, int, int]
    ) -> tuple[tuple[float, float, float, float], tuple[int, int, int, int]]:
        """The native pixels that lie in a working box, and the box's exact part that they cover."""
        first, last, begin, end = box
        x0, y0, x1, y1 = self.source
        _, _, height, width = self.content
        per_row, per_col = (y1 - y0) / height, (x1 - x0) / width
        r0, r1 = int(np.ceil(y0 + first * per_row)), int(np.floor(y0 + last * per_row))
        c0, c1 = int(np.ceil(x0 + begin * per_col)), int(np.floor(x0 + end * per_col))
        r0, c0 = max(r0, 0), max(c0, 0)
        r1, c1 = max(min(r1, self.native[0]), r0 + 1), max(min(c1, self.native[1]), c0 + 1)
        window = (
            max((c0 - x0) / per_col, 0.0),
            max((r0 - y0) / per_row, 0.0),
            min((c1 - x0) / per_col, float(width)),
            min((r1 - y0) / per_row, float(height)),
        )
        return window, (r0, r1, c0, c1)


def make_grid(
    native: tuple[int, ...], spacing: tuple[float, ...], options: InputConfig
) -> SliceGrid:
    """The grid that takes native slices of this size and spacing (mm) to the working size."""
    return SliceGrid(
        (int(native[0]), int(native[1])),
        (float(spacing[0]), float(spacing[1])),
        options.size,
        options.fit,
        options.ap_fraction,
    )


def _bounds(mask: np.ndarray, margin: int) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        max(int(rows[0]) - margin, 0),
        min(int(rows[-1]) + 1 + margin, mask.shape[0]),
        max(int(cols[0]) - margin, 0),
        min(int(cols[-1]) + 1 + margin, mask.shape[1]),
    )


def intensity_window(stack: np.ndarray) -> tuple[float, float]:
    """The intensities that become 0 and 1: the 0.5th and 99.5th percentile of a whole volume."""
    step = max(1, round((stack.size / 2_000_000) ** 0.5))
    low, high = np.percentile(stack[:, ::step, ::step], (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def working_slices(stack: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """A native stack [S, R, C] -> working slices [S, h, w] float32 in 0..1."""
    low, high = intensity_window(stack)
    working = np.stack([grid.to_working(image) for image in stack])
    top, left, height, width = grid.content
    scaled = np.zeros_like(working)
    part = np.s_[:, top : top + height, left : left + width]
    scaled[part] = np.clip((working[part] - low) / (high - low), 0, 1)
    return scaled
