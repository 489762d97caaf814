"""Does a labelled spine make sense: every level once, in order, counted from something visible."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import SimpleITK as sitk

from CPS4Core.schema import LabelSchema

SACRUM_ORDER = 0
ANCHOR_ORDERS = (SACRUM_ORDER, 1)
"""Places along the spine (the schema's `order`) from which levels are counted: S and L5/S."""

NOTHING, MISSING, DOUBLED, SWAPPED = (
    "No structure was found",
    "Missing between",
    "Found at two places",
    "Out of order",
)
"""How the warnings begin that follow from a label map alone, and can be checked again on it."""

FINEST_MM = 1.0
"""Voxels finer than this are thinned out: levels are centimetres apart."""


@dataclass(frozen=True)
class _Found:
    """A structure: the middle of its largest component in mm from the top."""

    index: int
    middle: float
    doubled: bool


def sequence_warnings(
    indices: np.ndarray,
    spacing: tuple[float, float, float],
    schema: LabelSchema,
    smallest_mm3: float = 100.0,
    double_share: float = 0.3,
) -> list[str]:
    """What is inconsistent in a label map, in sentences; an empty list if nothing is.

    Parameters
    ----------
    indices: class indices [slices, rows, cols] uint8, rows superior to inferior.
    spacing: (slice, row, col) in mm.
    smallest_mm3: smaller structures count as absent.
    double_share: a level is doubled if a second component has at least this share of the largest
        one's volume and its middle lies above or below it (a spinous process lies behind).
    """
    names = schema.class_names
    steps = [max(1, int(FINEST_MM // mm)) for mm in spacing]
    indices = np.ascontiguousarray(indices[:: steps[0], :: steps[1], :: steps[2]])
    spacing = (spacing[0] * steps[0], spacing[1] * steps[1], spacing[2] * steps[2])
    sizes = _boxes(indices)
    voxel = float(np.prod(spacing))
    large = [i for i, (count, _) in sizes.items() if count * voxel >= smallest_mm3]
    if not large:
        return [NOTHING]
    along = [i for i in schema.ordered_indices() if i in large]
    found = [_examine(indices, i, sizes[i][1], spacing[1], double_share) for i in along]
    warnings = []
    order = {i: schema.structures[i - 1].order for i in schema.ordered_indices()}
    anchors = [i for i, place in order.items() if place in ANCHOR_ORDERS]
    if anchors and along and not set(anchors) & set(along):
        warnings.append(
            f"Level anchor not visible: neither {' nor '.join(names[i] for i in anchors)} was "
            "found, so all levels may be shifted"
        )
    if along:
        placed = schema.ordered_indices()
        between = placed[placed.index(along[0]) : placed.index(along[-1])]
        missing = [names[i] for i in between if i not in along]
        if missing:
            warnings.append(
                f"{MISSING} {names[along[0]]} and {names[along[-1]]}: {', '.join(missing)}"
            )
    doubled = [names[f.index] for f in found if f.doubled]
    if doubled:
        warnings.append(f"{DOUBLED}: {', '.join(doubled)}")
    swapped = [
        f"{names[lower.index]} above {names[upper.index]}"
        for lower, upper in pairwise(found)
        if lower.middle <= upper.middle
    ]
    if swapped:
        warnings.append(f"{SWAPPED}: {', '.join(swapped)}")
    return warnings


def _boxes(indices: np.ndarray) -> dict[int, tuple[int, tuple[slice, slice, slice]]]:
    """Class index -> (voxels, its bounding box), in one pass."""
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.GetImageFromArray(indices))
    found = {}
    for label in shapes.GetLabels():
        x, y, z, width, height, depth = shapes.GetBoundingBox(label)
        box = (slice(z, z + depth), slice(y, y + height), slice(x, x + width))
        found[int(label)] = (int(shapes.GetNumberOfPixels(label)), box)
    return found


def _examine(
    indices: np.ndarray,
    index: int,
    box: tuple[slice, slice, slice],
    row_mm: float,
    double_share: float,
) -> _Found:
    mask = sitk.GetImageFromArray((indices[box] == index).astype(np.uint8))
    parts = sitk.LabelShapeStatisticsImageFilter()
    parts.Execute(sitk.ConnectedComponent(mask, True))
    labels = sorted(parts.GetLabels(), key=parts.GetNumberOfPixels, reverse=True)
    largest, *others = labels
    _, first, _, _, rows, _ = parts.GetBoundingBox(largest)
    doubled = any(
        parts.GetNumberOfPixels(other) >= double_share * parts.GetNumberOfPixels(largest)
        and not first <= parts.GetCentroid(other)[1] <= first + rows
        for other in others
    )
    return _Found(
        index,
        middle=(box[1].start + parts.GetCentroid(largest)[1]) * row_mm,
        doubled=doubled,
    )
