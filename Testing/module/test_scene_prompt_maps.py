"""Prompt maps as the slice views really draw them, and the threshold at a position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from CPS4SegmentLib.prompt_map_colors import map_colors
from CPS4SegmentLib.prompt_map_view import (
    INTEGRATED,
    MAP,
    OUTLINE,
    hide_map,
    set_opacity,
    set_outline,
    show_integrated,
    show_map,
    threshold_at,
)
from CPS4SegmentLib.volume_export import export_volume, volume_problem
from scene_samples import (
    SCHEMA,
    add_transform,
    names_of,
    sagittal,
    segment_array,
    spine,
    spine_volume,
    turn,
    write_labels,
)
from vtk.util.numpy_support import vtk_to_numpy

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.sagittal import to_sagittal

NAMES = ("Red", "Yellow", "Green")


def picture(name: str = "Yellow") -> np.ndarray:
    """What a slice view draws [rows from the top, columns, RGB]."""
    window = slicer.app.layoutManager().sliceWidget(name).sliceView().renderWindow()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    return (
        vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].astype(int)
    )


def coloured(image: np.ndarray) -> np.ndarray:
    return image.max(axis=2) - image.min(axis=2) > 25


@pytest.fixture
def volume() -> Any:
    """A volume in all three slice views."""
    for name in NAMES:
        slicer.app.layoutManager().sliceWidget(name)
    node = spine_volume(spine())
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def prompt(tmp_path: Path) -> dict[str, Any]:
    """A map that is strong in L3 and fades away from it, and its mask."""
    inside = sitk.GetImageFromArray((spine() == 4).astype(np.float32))
    soft = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(inside, 2.0))
    soft = np.clip(255 * soft / soft.max(), 0, 255).astype(np.uint8)
    return {
        "name": "L3",
        "prompt": "A magnetic resonance image of a Lumbar Vertebra 3.",
        "map": str(write_labels(soft, tmp_path / "map.nrrd")),
        "binary": str(write_labels((spine() == 4).astype(np.uint8), tmp_path / "mask.nrrd")),
        "thresholds": [None, 0.4, 0.41, 0.42, 0.43, None, None],
        "peak": 1.0,
        "trained": True,
    }


def test_the_map_is_drawn_over_the_volume_with_its_colours_and_bar(
    volume: Any, prompt: dict[str, Any]
) -> None:
    before = picture()
    assert not coloured(before).any()
    node = show_map(volume, prompt, 1.0, outline=False)
    after = picture()
    assert coloured(after).sum() > 2000
    peak = np.array(map_colors()[-1] * 255)
    lowest = np.array(map_colors()[0] * 255)
    assert (np.abs(after - peak).max(axis=2) < 12).any()  # the map's middle, and the bar's top
    assert (np.abs(after - lowest).max(axis=2) < 12).sum() > 2000
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(node)
    assert legend.GetTitleText() == "L3" and legend.GetVisibility()
    legend.SetVisibility(False)
    assert (picture() != after).any(axis=2).sum() > 300  # the bar and its text were there
    assert slicer.util.arrayFromVolume(node).max() == pytest.approx(1.0)


def test_opacity_lets_the_volume_through(volume: Any, prompt: dict[str, Any]) -> None:
    plain = picture()
    show_map(volume, prompt, 1.0, outline=False)
    strong = np.abs(picture() - plain).sum()
    set_opacity(0.3)
    weak = np.abs(picture() - plain).sum()
    assert 0 < weak < 0.7 * strong


def test_the_outline_follows_the_mask_and_fills_nothing(
    volume: Any, prompt: dict[str, Any]
) -> None:
    show_map(volume, prompt, 0.0, outline=True)
    slicer.modules.colors.logic().GetColorLegendDisplayNode(slicer.util.getNode(MAP)).SetVisibility(
        False
    )
    with_outline = picture()
    set_outline(False)
    without = picture()
    rows, columns = np.nonzero((with_outline != without).any(axis=2))
    box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert 50 < len(rows) < 0.5 * box
    middle = np.s_[rows.min() + 8 : rows.max() - 8, columns.min() + 8 : columns.max() - 8]
    assert (with_outline[middle] == without[middle]).all()
    assert (segment_array(slicer.util.getNode(OUTLINE), "outline", volume) == (spine() == 4)).all()


def test_stepping_through_prompts_leaves_one_set_of_nodes(
    volume: Any, prompt: dict[str, Any]
) -> None:
    first = show_map(volume, prompt)
    count = slicer.mrmlScene.GetNumberOfNodes()
    second = show_map(volume, prompt | {"name": "L4"})
    assert second is first and slicer.mrmlScene.GetNumberOfNodes() == count
    assert first.GetAttribute("CPS4.PromptMap") == "L4"
    assert "prompt map" in str(volume_problem(first))


def test_hiding_gives_the_views_back_as_they_were(volume: Any, prompt: dict[str, Any]) -> None:
    other = spine_volume(spine()[::-1].copy())
    slicer.util.setSliceViewerLayers(background=volume, foreground=other, foregroundOpacity=0)
    before = picture()
    show_map(volume, prompt, 0.8)
    show_map(volume, prompt | {"name": "L4"}, 0.8)
    hide_map()
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert composite.GetForegroundVolumeID() == other.GetID()
        composite.SetForegroundOpacity(0)
    assert (picture() == before).all()
    hide_map()  # twice does no harm


def test_the_map_lies_on_a_turned_volume_too(volume: Any, prompt: dict[str, Any]) -> None:
    transform = add_transform(turn(30, 0))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = show_map(volume, prompt)
    assert node.GetParentTransformNode() is transform
    bounds, wanted = [0.0] * 6, [0.0] * 6
    node.GetRASBounds(bounds)
    volume.GetRASBounds(wanted)
    assert bounds == pytest.approx(wanted)
    assert (segment_array(slicer.util.getNode(OUTLINE), "outline", volume) == (spine() == 4)).all()


def test_all_classes_at_once_in_the_schema_s_colours(
    volume: Any, prompt: dict[str, Any], tmp_path: Path
) -> None:
    path = write_labels(spine().astype(np.uint8), tmp_path / "integrated.nrrd")
    show_map(volume, prompt)
    node = show_integrated(volume, path, SCHEMA)
    assert len(names_of(node)) == 11 and node.GetName() == INTEGRATED
    assert node.GetDisplayNode().GetVisibility()
    assert not slicer.util.getNode(OUTLINE).GetDisplayNode().GetVisibility()
    image = picture()
    hues = {tuple(c) for c in (image[coloured(image)] // 32).tolist()}
    assert len(hues) > 8
    again = show_integrated(volume, path, SCHEMA)
    assert again is node and len(names_of(node)) == 11
    show_map(volume, prompt)
    assert not node.GetDisplayNode().GetVisibility()
    for view in (node, slicer.util.getNode(OUTLINE)):
        assert view.GetHideFromEditors()


def test_maps_of_another_volume_are_refused(volume: Any, prompt: dict[str, Any]) -> None:
    other = spine_volume(spine()[:5].copy())
    with pytest.raises(CPS4Error, match="does not fit the volume"):
        show_map(other, prompt)
    assert slicer.mrmlScene.GetFirstNodeByName(MAP) is None


def test_maps_are_found_again_in_a_loaded_scene(
    volume: Any, prompt: dict[str, Any], tmp_path: Path
) -> None:
    show_map(volume, prompt)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    count = slicer.mrmlScene.GetNumberOfNodes()
    show_map(slicer.util.getNode("Case 1"), prompt)
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def slice_axis(path: Path) -> dict[str, Any]:
    """The slice axis of an exported volume's sagittal stack, as the worker gives it."""
    image = sitk.ReadImage(str(path))
    stack = to_sagittal(image)
    index = np.zeros(3)
    for axis, flipped in zip(stack.axes, stack.flips, strict=True):
        index[axis] = image.GetSize()[axis] - 1 if flipped else 0
    direction = np.reshape(image.GetDirection(), (3, 3))[:, stack.axes[0]]
    return {
        "origin_lps": list(image.TransformContinuousIndexToPhysicalPoint(index.tolist())),
        "direction_lps": (direction * (-1 if stack.flips[0] else 1)).tolist(),
        "spacing_mm": stack.spacing[0],
    }


@pytest.mark.parametrize("transform", ["none", "turned", "sheared"])
def test_the_threshold_follows_the_slice(
    transform: str, volume: Any, prompt: dict[str, Any], tmp_path: Path
) -> None:
    matrix = np.eye(4)
    if transform == "turned":
        matrix = turn(40, 1) @ turn(20, 2)
    if transform == "sheared":
        matrix[0, 2] = 0.5
    volume.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    export_volume(volume, tmp_path / "v.nrrd")
    axis = slice_axis(tmp_path / "v.nrrd")
    for number, threshold in enumerate(prompt["thresholds"]):
        ras = (matrix @ sagittal() @ [10, 40, 6 - number, 1])[:3]
        assert threshold_at(prompt, axis, tuple(ras), volume) == threshold, number
    beyond = (matrix @ sagittal() @ [10, 40, 9, 1])[:3]
    assert threshold_at(prompt, axis, tuple(beyond), volume) is None


def test_equal_steps_of_the_map_look_equal() -> None:
    from skimage.color import rgb2lab

    colors = map_colors()
    lab = rgb2lab(colors[None])[0]
    rise = np.diff(lab[:, 0])
    assert rise.min() > 0 and rise.max() < 1.2 * rise.mean()
    step = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert step.max() < 3 * step.mean()
    assert colors.min() >= 0 and colors.max() <= 1
