"""Volumes of odd geometry, a small labelled spine, and results as the worker gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from CPS4SegmentLib.geometry import to_vtk

from CPS4Core.schema import LabelSchema, built_in_schema

SCHEMA = built_in_schema("mrspineseg")
LEVELS = ("L1", "L1/L2", "L2", "L2/L3", "L3", "L3/L4", "L4", "L4/L5", "L5", "L5/S", "S")

SPACING = (3.0, 1.0, 2.0)
"""Of slices (right to left), rows and columns of the sample spine, in mm."""


def turn(degrees: float, axis: int) -> np.ndarray:
    """A rotation about a world axis [4, 4]."""
    matrix = vtk.vtkTransform()
    matrix.RotateWXYZ(degrees, *np.eye(3)[axis])
    return np.array([[matrix.GetMatrix().GetElement(i, j) for j in range(4)] for i in range(4)])


def sagittal() -> np.ndarray:
    """Voxel indices (column, row, slice) of a sagittal stack to RAS, columns running back."""
    slice_mm, row_mm, column_mm = SPACING
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, slice_mm], [-column_mm, 0, 0], [0, -row_mm, 0]], float)
    matrix[:3, 3] = (-6.0, 40.0, 90.0)
    return matrix


def permuted(array: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its axes in another order, one of them reversed (left-handed)."""
    swapped = array.transpose(1, 2, 0)[:, ::-1]  # [k, j, i] -> [j, i, k], then i reversed
    size = array.shape[::-1]
    to_old = np.zeros((4, 4))
    to_old[2, 0] = 1  # the new i is the old k
    to_old[0, 1], to_old[0, 3] = -1, size[0] - 1  # the new j is the old i from the other end
    to_old[1, 2] = 1  # the new k is the old j
    to_old[3, 3] = 1
    return np.ascontiguousarray(swapped), matrix @ to_old


def spine(names: tuple[str, ...] = LEVELS, schema: LabelSchema = SCHEMA) -> np.ndarray:
    """A labelled column from the top down [slices, rows, columns] uint16, one structure in 8 rows.

    Vertebrae are wider than discs, and nothing is symmetric.
    """
    array = np.zeros((7, 8 * len(names) + 6, 20), np.uint16)
    for number, name in enumerate(names):
        structure = schema.structures[schema.index_of(name) - 1]
        top = 2 + 8 * number
        back = 12 if structure.kind == "vertebra" else 10
        array[1:5, top : top + 8, 4:back] = structure.value
        if structure.kind == "vertebra":
            array[2, top : top + 3, back : back + 4] = structure.value
    return array


def add_volume(array: np.ndarray, matrix: np.ndarray, name: str = "Case 1") -> Any:
    """A scalar volume node with voxels [k, j, i] and voxel-to-RAS `matrix`."""
    volume = slicer.util.addVolumeFromArray(array, to_vtk(matrix), name)
    volume.CreateDefaultDisplayNodes()
    return volume


def spine_volume(labels: np.ndarray, matrix: np.ndarray | None = None) -> Any:
    """A volume whose grey values tell the labels apart: 100 + label."""
    grey = np.where(labels > 0, 100 + labels.astype(int), 7).astype(np.int16)
    return add_volume(grey, sagittal() if matrix is None else matrix)


def add_transform(matrix: np.ndarray, name: str = "transform") -> Any:
    """A linear transform node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(to_vtk(matrix))
    return node


def bent_transform() -> Any:
    """A transform node that bends space by up to some millimetres."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x in (-60, 60):
        for y in (-60, 60):
            for z in (-60, 20, 100):
                source.InsertNextPoint(x, y, z)
                target.InsertNextPoint(x + 0.05 * y, y + 4 * (z == 20), z - 0.03 * x)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(spline)
    return node


def write_labels(labels: np.ndarray, path: Path, like: Path | None = None) -> Path:
    """A label map [k, j, i] as a file, with the geometry of the file `like`."""
    image = sitk.GetImageFromArray(labels)
    if like is not None:
        image.CopyInformation(sitk.ReadImage(str(like)))
    sitk.WriteImage(image, str(path))
    return path


def result_of(label: Path, schema: LabelSchema = SCHEMA, **more: Any) -> dict[str, Any]:
    """A result of the worker's command `segment` for a label map file."""
    values, counts = np.unique(
        sitk.GetArrayFromImage(sitk.ReadImage(str(label))), return_counts=True
    )
    names = {s.value: s.name for s in schema.structures}
    return {
        "label": str(label),
        "schema": schema.to_dict(),
        "structures": [
            {
                "name": names[int(v)],
                "value": int(v),
                "voxels": int(n),
                "volume_mm3": 6.0 * int(n),
                "confidence": 0.9 - 0.01 * int(v),
            }
            for v, n in zip(values, counts, strict=True)
            if int(v) in names
        ],
        "levels_confidence": 0.8,
        "calibrated": True,
        "warnings": [],
        "model": {
            "name": "starter",
            "folder": "/home/someone/models/starter",
            "fingerprint": "ab12",
            "data": "phantoms",
            "licence": "CC BY 4.0",
            "method": "cps4",
            "encoder_weights": "none",
        },
        "engine": "torch",
        "seconds": 1.5,
    } | more


def segment_array(segmentation: Any, name: str, volume: Any) -> np.ndarray:
    """The mask of a segment on the volume's grid [k, j, i] bool, as Slicer itself exports it."""
    segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    assert segment_id, f"no segment {name}"
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0


def named(segmentation: Any, name: str) -> Any:
    """The vtkSegment with this name."""
    contents = segmentation.GetSegmentation()
    segment = contents.GetSegment(contents.GetSegmentIdBySegmentName(name))
    assert segment is not None, f"no segment {name}"
    return segment


def names_of(segmentation: Any) -> list[str]:
    """Names of all segments in their order."""
    contents = segmentation.GetSegmentation()
    return [contents.GetSegment(i).GetName() for i in contents.GetSegmentIDs()]
