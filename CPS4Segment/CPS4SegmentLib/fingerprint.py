"""Whether a segmentation is still as the model made it, or somebody has worked on it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from vtk.util.numpy_support import vtk_to_numpy

MADE = "CPS4.Fingerprint"
"""Node attribute: the fingerprint right after the result came in."""


def fingerprint(segmentation: Any) -> str:
    """A short text that changes with any voxel, name or segment; not with padding around them."""
    contents = segmentation.GetSegmentation()
    layers: dict[str, int] = {}
    parts = []
    for segment_id in contents.GetSegmentIDs():
        segment = contents.GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        if image is None:
            parts.append(f"{segment_id}:{segment.GetName()}")
            continue
        key = image.GetAddressAsString("")
        if key not in layers:  # most segments share one label map
            layers[key] = _checksum(image)
        parts.append(f"{segment_id}:{segment.GetName()}:{segment.GetLabelValue()}:{layers[key]}")
    return f"{zlib.crc32('|'.join(parts).encode()):08x}"


def mark_as_made(segmentation: Any) -> None:
    """Remember the present contents as the model's."""
    segmentation.SetAttribute(MADE, fingerprint(segmentation))


def was_corrected(segmentation: Any) -> bool:
    """Whether the contents differ from what the model made; true where that is not known."""
    return segmentation.GetAttribute(MADE) != fingerprint(segmentation)


def _checksum(image: Any) -> int:
    """Of the labelled box of an image and of where it lies."""
    low, high = np.array(image.GetExtent()).reshape(3, 2).T
    scalars = image.GetPointData().GetScalars()
    if scalars is None or np.any(high < low):
        return 0
    voxels = vtk_to_numpy(scalars).reshape((high - low + 1)[::-1])
    if not voxels.any():
        return 0
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        seen = np.flatnonzero(voxels.any(axis=others))
        box.append(slice(seen[0], seen[-1] + 1))
    start = [int(b.start + low[2 - axis]) for axis, b in enumerate(box)]
    labelled = np.ascontiguousarray(voxels[tuple(box)].astype(np.int32))
    return zlib.crc32(labelled.data, zlib.crc32(repr((start, labelled.shape)).encode()))
