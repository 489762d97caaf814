"""The Segment Editor widget works on the real editor logic, with undo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from slicerharness.painting import paint


@pytest.fixture
def editor() -> Any:
    """An editor on a volume of 1 mm voxels with the segments L4 (two slices) and L5 (empty)."""
    volume = slicer.util.addVolumeFromArray(np.zeros((20, 24, 28), np.int16), name="T2")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "spine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("L4", "L5"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    mask = np.zeros((20, 24, 28), np.uint8)
    mask[4:6, 4:10, 4:10] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "L4", volume)
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", "editor")
    )
    widget.setSegmentationNode(segmentation)
    widget.setSourceVolumeNode(volume)
    return widget


def voxels(editor: Any, segment_id: str) -> int:
    array = slicer.util.arrayFromSegmentBinaryLabelmap(
        editor.segmentationNode(), segment_id, editor.sourceVolumeNode()
    )
    return int(np.count_nonzero(array))


def test_nodes_and_segments_are_shown(editor: Any) -> None:
    assert editor.segmentationNode().GetName() == "spine"
    assert editor.sourceVolumeNode().GetName() == "T2"
    assert editor.currentSegmentID() == "L4"


def test_painting_undo_and_redo(editor: Any) -> None:
    assert voxels(editor, "L5") == 0
    paint(editor, "L5", (20, 12, 10), 3.0)
    painted = voxels(editor, "L5")
    assert abs(painted - 4 / 3 * np.pi * 27) < 20
    paint(editor, "L5", (20, 12, 10), 2.0, mode="erase")
    erased = voxels(editor, "L5")
    assert 0 < erased < painted
    editor.undo()
    assert voxels(editor, "L5") == painted
    editor.undo()
    assert voxels(editor, "L5") == 0
    editor.redo()
    assert voxels(editor, "L5") == painted


def test_painting_overwrites_other_segments_unless_told_not_to(editor: Any) -> None:
    before = voxels(editor, "L4")
    node = editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    paint(editor, "L5", (7, 7, 5), 2.0)
    assert voxels(editor, "L4") == before
    editor.undo()
    node.SetOverwriteMode(node.OverwriteAllSegments)
    paint(editor, "L5", (7, 7, 5), 2.0)
    assert voxels(editor, "L4") < before


def test_the_buttons_do_what_they_say(editor: Any) -> None:
    assert not editor._undo_button.enabled
    paint(editor, "L5", (20, 12, 10), 3.0)
    assert editor._undo_button.enabled
    editor._undo_button.click()
    assert voxels(editor, "L5") == 0 and editor._redo_button.enabled


def test_the_number_of_undo_states_is_limited(editor: Any) -> None:
    editor.setMaximumNumberOfUndoStates(2)
    for radius in (2.0, 3.0, 4.0):
        paint(editor, "L5", (14, 12, 10), radius)
    for _ in range(5):
        editor.undo()
    assert voxels(editor, "L5") > 0


def test_two_editors_share_one_node(editor: Any) -> None:
    other = slicer.qMRMLSegmentEditorWidget()
    other.setMRMLScene(slicer.mrmlScene)
    other.setMRMLSegmentEditorNode(editor.mrmlSegmentEditorNode())
    assert other.segmentationNode() is editor.segmentationNode()
    other.setSegmentationNode(None)
    assert editor.segmentationNode() is None


def test_effects_are_listed_in_the_order_asked_for(editor: Any) -> None:
    editor.setEffectNameOrder(["Paint", "Erase"])
    editor.unorderedEffectsVisible = False
    assert [editor.effectByIndex(k).name for k in range(editor.effectCount())] == [
        "Paint",
        "Erase",
    ]
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect().name == "Paint"
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == "Paint"
    editor.findChild("QGroupBox").findChildren("QToolButton")[0].click()
    assert editor.activeEffect() is None
    editor.setActiveEffectByName("Erase")
    editor.setActiveEffect(None)
    assert editor.activeEffect() is None


def test_the_table_follows_the_segmentation(editor: Any) -> None:
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(slicer.mrmlScene)
    segmentation = editor.segmentationNode()
    table.setSegmentationNode(segmentation)
    segmentation.GetSegmentation().GetSegment("L4").SetName("L3")
    segmentation.GetSegmentation().AddEmptySegment("S1", "S1")
    names = [table.tableWidget().item(row, 2).text() for row in range(table.segmentCount)]
    assert names == ["L3", "L5", "S1"]
    table.setSelectedSegmentIDs(["L5"])
    assert table.selectedSegmentIDs() == ("L5",)
    segmentation.GetSegmentation().RemoveSegment("L4")
    assert table.displayedSegmentIDs() == ("L5", "S1")
    assert table.selectedSegmentIDs() == ("L5",)


def test_closing_the_scene_leaves_an_empty_editor(editor: Any) -> None:
    slicer.mrmlScene.Clear(0)
    assert editor.segmentationNode() is None and editor.sourceVolumeNode() is None
