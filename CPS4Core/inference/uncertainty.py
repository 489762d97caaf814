"""How doubtful each voxel's label is: the tissue by voxel, the level by structure.

A label is right if its tissue is right and its structure has the right name, so

    uncertainty = 1 - p(tissue) * c(level)

p(tissue): the network's probability of the label's tissue there (vertebra, disc, the structure
itself where it is neither, or background, levels summed up); c(level): the confidence of the
structure's level, 1 for the background. 0 is certain, 1 hopeless. In 8 bits 0..255 stands for 0..1.
What lies outside the part of the image that the network sees is background, with 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from CPS4Core.schema import LabelSchema
from CPS4Core.slices.grid import SliceGrid

FULL = 255
"""What 1 is in 8 bits."""


def tissues(schema: LabelSchema) -> np.ndarray:
    """Tissue number [K] of each class: 0 background, 1 vertebra, 2 disc, 3.. other structures."""
    kinds = {"vertebra": 1, "disc": 2}
    others = iter(range(3, 3 + len(schema.structures)))
    return np.array([0, *(kinds.get(s.kind) or next(others) for s in schema.structures)])


def tissue_doubt(
    probabilities: np.ndarray, labels: np.ndarray, tissue: np.ndarray, grid: SliceGrid
) -> np.ndarray:
    """1 - p(tissue) of one slice on the native grid [R, C], 8-bit.

    Parameters: softmax [K, h, w], class indices [h, w], `tissues` [K].
    """
    shown = tissue[labels]
    sure = np.zeros(labels.shape, np.float32)
    for number in np.unique(shown):
        inside = shown == number
        sure[inside] = probabilities[tissue == number][:, inside].sum(axis=0, dtype=np.float32)
    return np.round(grid.map_to_native(np.clip(1 - sure, 0, 1)) * FULL).astype(np.uint8)


def add_level_doubt(
    doubt: np.ndarray, indices: np.ndarray, confidence: Mapping[int, float]
) -> None:
    """Turn tissue doubt [S, R, C] uint8 into the uncertainty of labels, in place, by slice.

    indices: class indices of the same shape; confidence: by class index, 1 where not given.
    """
    sure = np.ones(256, np.float32)
    sure[list(confidence)] = list(confidence.values())
    for plane, labels in zip(doubt, indices, strict=True):
        plane[:] = np.round(FULL - (FULL - plane.astype(np.float32)) * sure[labels])
