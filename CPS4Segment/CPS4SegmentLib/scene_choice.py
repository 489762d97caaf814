"""Which nodes of the scene belong together: the volume that is shown, and a volume's result."""

from __future__ import annotations

from typing import Any

import slicer

from CPS4SegmentLib.result_record import RESULT


def active_volume() -> Any:
    """The volume that the slice views show, else the first that is not hidden; None without one."""
    scene = slicer.mrmlScene
    selection = slicer.app.applicationLogic().GetSelectionNode()
    shown = scene.GetNodeByID(selection.GetActiveVolumeID() or "") if selection else None
    volumes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if not node.GetHideFromEditors() and not node.IsA("vtkMRMLLabelMapVolumeNode")
    ]
    return shown if shown in volumes else next(iter(volumes), None)


def volume_of(segmentation: Any) -> Any:
    """The volume whose geometry a segmentation has, or None."""
    if segmentation is None:
        return None
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def result_of(volume: Any) -> Any:
    """The newest segmentation of that volume by a model, or None."""
    found = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        if node.GetAttribute(RESULT) and volume_of(node) is volume
    ]
    return found[-1] if found else None
