"""Phantom labels as probabilities, and ways to spoil them as networks do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from CPS4Core.levels import DecodedLevels, decode_levels
from CPS4Core.phantom.make import make_phantom
from CPS4Core.schema import LabelSchema, built_in_schema
from CPS4Core.volumes.sagittal import to_sagittal

SCHEMA = built_in_schema("mrspineseg")
VERTEBRAE = [s.name for s in SCHEMA.structures if s.kind == "vertebra"]
DISCS = [s.name for s in SCHEMA.structures if s.kind == "disc"]


@dataclass(frozen=True)
class Sample:
    """truth: class indices [S, h, w]; maps: probabilities [S, K, h, w]."""

    truth: np.ndarray
    maps: np.ndarray
    spacing: tuple[float, float, float]
    schema: LabelSchema = SCHEMA

    def renamed(self, pairs: dict[str, str]) -> Sample:
        """The same shapes under other names; "" is the background."""
        maps = self.maps.copy()
        at = {old: self.index(old) for old in pairs}
        for old in at.values():
            maps[:, old] = 0
        for old, new in pairs.items():
            maps[:, self.index(new)] += self.maps[:, at[old]]
        return replace(self, maps=maps)

    def cropped(self, rows: slice) -> Sample:
        """A part of the rows, as in a smaller field of view."""
        return replace(self, truth=self.truth[:, rows], maps=self.maps[:, :, rows])

    def index(self, name: str) -> int:
        """Class index of a short name; "" is the background."""
        return self.schema.index_of(name) if name else 0

    def rows_of(self, name: str) -> np.ndarray:
        """Rows in which a structure lies."""
        return np.flatnonzero((self.truth == self.index(name)).any(axis=(0, 2)))

    def right(self, labels: np.ndarray) -> float:
        """Share of voxels with the right level among those found and truly of a level."""
        both = (labels > 0) & (self.truth > 0)
        return float((labels[both] == self.truth[both]).mean()) if both.any() else 0.0


def sample(seed: int, *, blur: float = 0.7, certain: float = 0.9, **options: object) -> Sample:
    """A phantom's truth as blurred probabilities, at a network's working size."""
    options = {"size": (176, 96), "sacrum_visible": True} | options
    _, label = make_phantom(seed, **options)  # type: ignore[arg-type]
    stack = to_sagittal(label)
    truth = SCHEMA.to_indices(stack.array)
    return Sample(truth, soft(truth, SCHEMA.class_count, blur, certain), stack.spacing)


def soft(truth: np.ndarray, count: int, blur: float = 0.7, certain: float = 0.9) -> np.ndarray:
    """Class indices [S, h, w] as probabilities [S, K, h, w] float32."""
    maps = np.moveaxis(np.eye(count, dtype=np.float32)[truth], -1, 1)
    if blur:
        maps = gaussian_filter(maps, (0, 0, blur, blur))
    return maps * certain + (1 - certain) / count


def decode(spoiled: Sample) -> DecodedLevels:
    """The sample's probabilities, decoded."""
    return decode_levels(spoiled.maps, spoiled.spacing, spoiled.schema)


def warned(result: DecodedLevels, words: str) -> bool:
    """Whether one of the warnings has these words."""
    return any(words in text for text in result.warnings)
