"""Prompt maps over the volume: the map in colours, what it fires on as an outline, and all classes.

One volume node, one outline and one segmentation of all classes are reused for every prompt, so
that stepping through the classes leaves nothing behind in the scene. They are views and not the
user's data; the two segmentations are therefore kept out of Slicer's lists of segmentations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema
from CPS4Core.volumes.reading import read_label_map
from CPS4SegmentLib.geometry import RAS_TO_LPS, to_patient_frame, to_vtk, volume_matrix
from CPS4SegmentLib.prompt_map_colors import map_color_node
from CPS4SegmentLib.segment_voxels import BINARY, oriented_image
from CPS4SegmentLib.segmentation_import import add_segments, label_array, new_segmentation, place
from CPS4SegmentLib.volume_export import PROMPT_MAP

MAP = "CPS4 prompt map"
OUTLINE = "CPS4 prompt outline"
INTEGRATED = "CPS4 prompt maps, all classes"
"""Names of the nodes, by which they are found again after loading a scene."""

_OUTLINE_COLOR = (1.0, 1.0, 1.0)
_FOREGROUND_BEFORE = "CPS4.ForegroundBefore"


def show_map(
    volume: Any, prompt: Mapping[str, Any], opacity: float = 0.5, outline: bool = True
) -> Any:
    """Lay one prompt's map over the volume in all slice views; returns its volume node (0..1).

    `prompt` is one of the worker's `prompts`. Raises CPS4Error for a map that does not fit the
    volume, before anything changes.
    """
    scene = volume.GetScene()
    values = _fitting(prompt["map"], volume).astype(np.float32) / 255
    mask = (_fitting(prompt["binary"], volume) > 0).astype(np.uint8)
    node = _node(scene, MAP) or _new_map(scene)
    with slicer.util.NodeModify(node):
        node.SetIJKToRASMatrix(to_vtk(volume_matrix(volume)))
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        slicer.util.updateVolumeFromArray(node, values)
        node.SetAttribute(PROMPT_MAP, prompt["name"])
    _legend(node, prompt["name"])
    for composite in _composites(scene):
        if composite.GetForegroundVolumeID() != node.GetID():
            composite.SetAttribute(_FOREGROUND_BEFORE, composite.GetForegroundVolumeID() or "")
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(node.GetID())
    set_opacity(opacity, scene)
    _draw_outline(volume, mask)
    set_outline(outline, scene)
    _show(_node(scene, INTEGRATED), False)
    return node


def set_opacity(opacity: float, scene: Any = None) -> None:
    """How strongly the map covers the volume, 0..1, where it is shown."""
    scene = scene or slicer.mrmlScene
    for composite in _showing(scene):
        composite.SetForegroundOpacity(opacity)


def set_outline(on: bool, scene: Any = None) -> None:
    """Show or hide the outline of what the prompt fires on."""
    scene = scene or slicer.mrmlScene
    _show(_node(scene, OUTLINE), on)


def hide_map(scene: Any = None) -> None:
    """Hide the map, its outline and the view of all classes; the foreground is what it was."""
    scene = scene or slicer.mrmlScene
    for composite in _showing(scene):
        before = scene.GetNodeByID(composite.GetAttribute(_FOREGROUND_BEFORE) or "")
        composite.SetForegroundVolumeID(before.GetID() if before else None)
        composite.RemoveAttribute(_FOREGROUND_BEFORE)
    node = _node(scene, MAP)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node) if node else None
    if legend is not None:
        legend.SetVisibility(False)
    for name in (OUTLINE, INTEGRATED):
        _show(_node(scene, name), False)


def show_integrated(volume: Any, integrated_path: str | Path, schema: LabelSchema) -> Any:
    """Show which class fires where, all at once, in place of a single map; returns the node.

    Raises CPS4Error for a label map that does not fit the volume or the schema.
    """
    scene = volume.GetScene()
    labels = label_array(integrated_path, volume, schema)
    hide_map(scene)
    node = _node(scene, INTEGRATED) or _new_view(volume, INTEGRATED)
    with slicer.util.NodeModify(node):
        node.GetSegmentation().RemoveAllSegments()
        place(node, volume)
        add_segments(node, labels, volume, schema)
    _show(node, True)
    return node


def threshold_at(
    prompt: Mapping[str, Any],
    slice_axis: Mapping[str, Any],
    ras: tuple[float, float, float],
    volume: Any = None,
) -> float | None:
    """Otsu's threshold of the sagittal slice at a world position (RAS, mm).

    None outside the volume and where the slice is empty. `slice_axis` is the worker's; with
    `volume`, the position is first taken back from world to the frame of the exported volume,
    which a transform may have left.
    """
    point = np.array(ras, float) if volume is None else to_patient_frame(volume, ras)
    from_origin = RAS_TO_LPS[:3, :3] @ point - np.array(slice_axis["origin_lps"], float)
    along = float(from_origin @ np.array(slice_axis["direction_lps"], float))
    number = round(along / float(slice_axis["spacing_mm"]))
    thresholds = prompt["thresholds"]
    return thresholds[number] if 0 <= number < len(thresholds) else None


def _fitting(path: str | Path, volume: Any) -> np.ndarray:
    """The voxels of a map [k, j, i]; raises CPS4Error where they are not the volume's."""
    array = sitk.GetArrayFromImage(read_label_map(path))
    if array.shape != volume.GetImageData().GetDimensions()[::-1]:
        raise CPS4Error(
            f"The prompt map does not fit the volume '{volume.GetName()}'",
            cure="Compute the prompt maps of this volume again",
        )
    return array


def _new_map(scene: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", MAP)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 1)
    display.SetAndObserveColorNodeID(map_color_node(scene).GetID())
    return node


def _legend(node: Any, title: str) -> None:
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetNumberOfLabels(6)
    legend.SetLabelFormat("%.1f")
    legend.SetVisibility(True)


def _new_view(volume: Any, name: str) -> Any:
    node = new_segmentation(volume, name)
    node.SetHideFromEditors(True)
    return node


def _draw_outline(volume: Any, mask: np.ndarray) -> None:
    node = _node(volume.GetScene(), OUTLINE)
    if node is None:
        node = _new_view(volume, OUTLINE)
        display = node.GetDisplayNode()
        display.SetVisibility2DFill(False)
        display.SetVisibility3D(False)
        display.SetSliceIntersectionThickness(2)
    with slicer.util.NodeModify(node):
        place(node, volume)
        contents = node.GetSegmentation()
        contents.RemoveAllSegments()
        segment = slicer.vtkSegment()
        segment.SetName("outline")
        segment.SetColor(*_OUTLINE_COLOR)
        segment.AddRepresentation(BINARY, oriented_image(mask, volume_matrix(volume)))
        contents.AddSegment(segment, "outline")


def _node(scene: Any, name: str) -> Any:
    return scene.GetFirstNodeByName(name)


def _show(segmentation: Any, on: bool) -> None:
    if segmentation is not None and segmentation.GetDisplayNode() is not None:
        segmentation.GetDisplayNode().SetVisibility(on)


def _composites(scene: Any) -> list[Any]:
    nodes = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]


def _showing(scene: Any) -> list[Any]:
    """The slice views in which the map lies over the volume."""
    node = _node(scene, MAP)
    shown = node.GetID() if node else None
    return [c for c in _composites(scene) if shown and c.GetForegroundVolumeID() == shown]
