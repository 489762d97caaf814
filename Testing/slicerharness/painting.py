"""Painting as Segment Editor effects do it: a modifier labelmap through the editor's logic."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

MODES = {"add": "ModificationModeAdd", "erase": "ModificationModeRemove"}


def paint(
    editor: Any,
    segment_id: str,
    center_ras: tuple[float, float, float],
    radius_mm: float,
    mode: str = "add",
) -> None:
    """Paint (or erase) a ball in a segment of `editor`, a qMRMLSegmentEditorWidget.

    The state before it is saved for undo. What other segments lose follows the editor node's
    overwrite mode and masking, as with the real brush.
    """
    logic = editor._logic
    editor.setCurrentSegmentID(segment_id)
    logic.SaveStateForUndo()
    logic.UpdateReferenceGeometryImage()
    logic.ResetModifierLabelmapToDefault()
    modifier = logic.GetModifierLabelmap()
    _fill_ball(modifier, center_ras, radius_mm)
    logic.ModifySegmentByLabelmap(
        editor.segmentationNode(), segment_id, modifier, getattr(logic, MODES[mode]), False, False
    )
    editor.segmentationNode().GetSegmentation().GetSegment(segment_id).Modified()


def _fill_ball(image: Any, center: tuple[float, float, float], radius: float) -> None:
    """1 in the voxels of `image` within `radius` of `center` (the segmentation's own RAS)."""
    to_ras = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(to_ras)
    matrix = slicer.util.arrayFromVTKMatrix(to_ras)
    low_i, high_i, low_j, high_j, low_k, high_k = image.GetExtent()
    k, j, i = np.mgrid[low_k : high_k + 1, low_j : high_j + 1, low_i : high_i + 1]
    ijk = np.stack([i, j, k, np.ones_like(i)]).reshape(4, -1)
    distance = np.linalg.norm((matrix @ ijk)[:3].T - np.asarray(center), axis=1)
    scalars = vtk_to_numpy(image.GetPointData().GetScalars())
    scalars[:] = (distance <= radius).astype(scalars.dtype)
    image.Modified()
