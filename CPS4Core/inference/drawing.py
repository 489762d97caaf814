"""Working probabilities become native labels, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CPS4Core.inference.uncertainty import tissue_doubt, tissues
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.grid import SliceGrid


@dataclass
class Drawing:
    """What is drawn slice by slice at native resolution.

    indices [S, rows, cols]; doubt the same in 0..255, or empty; per class the number of voxels and
    the sum of their winning probabilities.
    """

    indices: np.ndarray
    doubt: np.ndarray
    voxels: np.ndarray
    winning: np.ndarray
    tissue: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, ...], schema: LabelSchema, with_doubt: bool) -> Drawing:
        """Background everywhere."""
        count = schema.class_count
        doubt = np.zeros(shape if with_doubt else 0, np.uint8)
        voxels, winning = np.zeros(count, np.int64), np.zeros(count)
        return cls(np.zeros(shape, np.uint8), doubt, voxels, winning, tissues(schema))

    def add(
        self,
        number: int,
        probabilities: np.ndarray,
        grid: SliceGrid,
        own: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        """Draw one slice; `own` are the softmax and labels before they were renamed."""
        if self.doubt.size:
            seen, labels = own or (probabilities, probabilities.argmax(axis=0))
            self.doubt[number] = tissue_doubt(seen, labels, self.tissue, grid)
        plane, winning = grid.from_working(probabilities)
        self.indices[number] = plane
        found = plane > 0  # the background is most of a slice and of no interest here
        self.voxels += np.bincount(plane[found], minlength=len(self.voxels))
        self.winning += np.bincount(plane[found], winning[found], minlength=len(self.voxels))

    def certainty(self) -> dict[int, float]:
        """Per class found, the mean of the winning probability over its voxels."""
        found = np.flatnonzero(self.voxels)
        return {int(i): float(self.winning[i] / self.voxels[i]) for i in found}
