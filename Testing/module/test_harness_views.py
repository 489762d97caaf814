"""Slice and 3D views are rendered for real, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from slicerharness.screenshot import panel_picture, view_picture, window_picture


@pytest.fixture
def volume() -> Any:
    array = np.full((30, 32, 32), -50, np.int16)
    array[12:18, 8:20, 8:20] = 400
    node = slicer.util.addVolumeFromArray(array, name="T2")
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def add_overlay(volume: Any) -> Any:
    """A red segment over the bright block."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("L5", "L5", (1, 0, 0))
    mask = (slicer.util.arrayFromVolume(volume) > 200).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "L5", volume)
    return node


def pixels(image: Any) -> np.ndarray:
    """(rows, columns, RGB) of a QImage."""
    image = image.convertToFormat(qt.QImage.Format_RGB888)
    data = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return data[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def red(rgb: np.ndarray) -> int:
    return int(np.count_nonzero(rgb[..., 0] - rgb[..., 1] > 40))


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_the_overlay_is_seen(volume: Any, name: str) -> None:
    before = pixels(view_picture(name, (200, 160)))
    assert before.shape == (160, 200, 3) and before.max() > 200 and red(before) == 0
    add_overlay(volume)
    assert red(pixels(view_picture(name, (200, 160)))) > 500


def test_another_slice_looks_different(volume: Any) -> None:
    view = slicer.app.layoutManager().sliceWidget("Red")
    view_picture("Red", (100, 100))
    view.sliceLogic().SetSliceOffset(2)
    assert pixels(view_picture("Red", (100, 100), fit=False)).max() < 100


def test_jumping_moves_all_slice_views(volume: Any) -> None:
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, -10, -12, 20, slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )
    manager = slicer.app.layoutManager()
    for name, axis, position in (("Red", 2, 20), ("Yellow", 0, -10), ("Green", 1, -12)):
        to_ras = manager.sliceWidget(name).mrmlSliceNode().GetSliceToRAS()
        assert to_ras.GetElement(axis, 3) == position


def test_a_foreground_volume_is_blended_in(volume: Any) -> None:
    front = slicer.util.addVolumeFromArray(np.full((30, 32, 32), 255, np.uint8), name="map")
    display = front.GetScalarVolumeDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 255)
    slicer.util.setSliceViewerLayers(foreground=front, foregroundOpacity=0.5)
    assert red(pixels(view_picture("Red", (100, 100)))) > 500


def test_surfaces_are_seen_in_3d(volume: Any) -> None:
    node = add_overlay(volume)
    assert red(pixels(view_picture("1", (150, 150)))) == 0
    node.CreateClosedSurfaceRepresentation()
    assert red(pixels(view_picture("1", (150, 150)))) > 1000


@pytest.mark.parametrize("layout", ["four-up", "sagittal"])
def test_window_picture(volume: Any, tmp_path: Path, layout: str) -> None:
    add_overlay(volume)
    panel = qt.QWidget()
    form = qt.QFormLayout(panel)
    form.addRow("Model:", qt.QLineEdit("spider"))
    path = tmp_path / "window.png"
    window_picture(panel, path, size=(900, 600), layout=layout, panel_width=300)
    rgb = pixels(qt.QImage(str(path)))
    assert rgb.shape == (600, 900, 3)
    assert red(rgb[40:, 310:]) > 1000
    assert rgb[60:, :290].mean() > 200 and rgb[40:100, :290].min() < 120  # text on a light panel


def test_a_panel_in_its_whole_height(tmp_path: Path) -> None:
    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    for row in range(60):
        layout.addWidget(qt.QLabel(f"row {row}"))
    panel_picture(panel, tmp_path / "panel.png", width=300)
    assert qt.QImage(str(tmp_path / "panel.png")).height() > 1000


def test_the_layout_is_in_the_scene() -> None:
    manager = slicer.app.layoutManager()
    seen: list[int] = []
    manager.connect("layoutChanged(int)", seen.append)
    four_up = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    manager.setLayout(four_up)
    node = slicer.util.getNodesByClass("vtkMRMLLayoutNode")[0]
    assert manager.layout == node.GetViewArrangement() == four_up and seen == [four_up]
