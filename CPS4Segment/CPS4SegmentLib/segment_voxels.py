"""The voxels behind the segments, as numpy arrays.

Slicer keeps the segments of a segmentation in layers: label maps shared by segments that do not
overlap, each with its own extent and possibly its own geometry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.geometry import to_numpy, to_vtk

BINARY = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()

GRID = 1e-3
"""Voxels by which two grids may differ and still count as one."""


@dataclass(frozen=True)
class Layer:
    """A label map [k, j, i] (a view into the scene) and the segments in it.

    matrix: array indices (i, j, k) to local coordinates. segments: label value -> segment id.
    """

    voxels: np.ndarray
    matrix: np.ndarray
    segments: dict[int, str]
    image: Any

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, parent transforms aside."""
        return float(abs(np.linalg.det(self.matrix[:3, :3])))

    def counts(self) -> dict[str, int]:
        """Voxels by segment id."""
        found = np.bincount(self.voxels.ravel(), minlength=1 + max(self.segments, default=0))
        return {segment_id: int(found[label]) for label, segment_id in self.segments.items()}


def oriented_image(array: np.ndarray, matrix: np.ndarray) -> Any:
    """`array` [k, j, i] copied into a vtkOrientedImageData with indices-to-local `matrix`."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*array.shape[::-1])
    flat = np.ascontiguousarray(array).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    image.SetGeometryFromImageToWorldMatrix(to_vtk(matrix))
    return image


def layers(segmentation: Any) -> list[Layer]:
    """All layers of a segmentation node that hold voxels.

    Raises CPS4Error where the segments cannot be had as label maps.
    """
    contents = segmentation.GetSegmentation()
    if not contents.GetNumberOfSegments():
        return []
    if not contents.CreateRepresentation(BINARY):
        raise CPS4Error(
            f"The segments of '{segmentation.GetName()}' cannot be turned into label maps",
            cure="Create the binary labelmap representation in the module Segmentations",
        )
    found = []
    for number in range(contents.GetNumberOfLayers(BINARY)):
        image = contents.GetLayerDataObject(number, BINARY)
        ids = contents.GetSegmentIDsForLayer(number, BINARY)
        if image.GetNumberOfPoints() and image.GetPointData().GetScalars():
            owners = {contents.GetSegment(i).GetLabelValue(): i for i in ids}
            found.append(_layer(image, owners))
    return found


def common_grid(found: Sequence[Layer], values: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """All layers on one grid: [k, j, i] of `values` by segment id, and its matrix to local.

    The grid is the first layer's, large enough for all; a layer on another one is resampled to the
    nearest voxel. Segments without a value are left out; a later layer covers an earlier one.
    """
    first, *others = found
    aligned = [first, *(_on_grid(layer, first.matrix) for layer in others)]
    starts = [offset(layer.matrix, first.matrix).round().astype(int) for layer in aligned]
    ends = [start + layer.voxels.shape[::-1] for start, layer in zip(starts, aligned, strict=True)]
    lower, upper = np.min(starts, axis=0), np.max(ends, axis=0)
    largest = max(values.values(), default=0)
    merged = np.zeros((upper - lower)[::-1], np.uint8 if largest < 256 else np.uint16)
    for layer, start in zip(aligned, starts, strict=True):
        i, j, k = (
            slice(a, a + n) for a, n in zip(start - lower, layer.voxels.shape[::-1], strict=True)
        )
        table = np.zeros(int(layer.voxels.max()) + 1, merged.dtype)
        for label, segment_id in layer.segments.items():
            if label < len(table):
                table[label] = values.get(segment_id, 0)
        own = table[layer.voxels]
        part = merged[k, j, i]
        merged[k, j, i] = own if len(aligned) == 1 else np.where(own > 0, own, part)
    shift = np.eye(4)
    shift[:3, 3] = lower
    return merged, first.matrix @ shift


def offset(matrix: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Where voxel (0, 0, 0) of one grid lies in voxels of another [3]."""
    return np.linalg.solve(onto, matrix)[:3, 3]


def _layer(image: Any, owners: dict[int, str]) -> Layer:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    start = np.eye(4)
    start[:3, 3] = extent[::2]
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return Layer(array, to_numpy(matrix) @ start, owners, image)


def _on_grid(layer: Layer, matrix: np.ndarray) -> Layer:
    relative = np.linalg.solve(matrix, layer.matrix)
    corners = np.array(np.meshgrid(*([0, n - 1] for n in layer.voxels.shape[::-1]))).reshape(3, -1)
    drift = (relative[:3, :3] - np.eye(3)) @ corners
    start = relative[:3, 3]
    if np.abs(drift).max() < GRID and np.abs(start - start.round()).max() < GRID:
        return layer
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent(0, 0, 0, 0, 0, 0)
    reference.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    reference.SetGeometryFromImageToWorldMatrix(to_vtk(matrix))
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        layer.image, reference, resampled, False, True
    )
    return _layer(resampled, layer.segments)
