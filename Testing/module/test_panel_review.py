"""The section Review: what its table shows and follows, and the one-step shift of levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicerharness", exc_type=ImportError)

import panel_samples as samples  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402
from panel_driver import Driver, open_module  # noqa: E402

VISIBLE, NAME, VOLUME, CONFIDENCE, WARNINGS = range(5)


@pytest.fixture
def open_panel(load_module: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Driver]:
    return lambda: open_module(load_module, monkeypatch)


@pytest.fixture
def driver(open_panel: Callable[[], Driver], tmp_path: Path) -> Driver:
    """The panel with a segmented spine in Review."""
    panel = open_panel()
    volume = samples.add_volume()
    panel.parameters.inputVolume = volume
    panel.import_result(samples.segment_result(volume, tmp_path))
    panel.open("review")
    return panel


def column(driver: Driver, number: int) -> list[str]:
    table = driver.ui.structureTable
    return [table.item(row, number).text() for row in range(table.rowCount)]


def click(driver: Driver, name: str, number: int = NAME) -> None:
    """Click a cell as a mouse does: the row is selected, then the cell is reported."""
    table = driver.ui.structureTable
    row = column(driver, NAME).index(name)
    place = table.visualItemRect(table.item(row, number)).center()
    driver.click_at(table.viewport(), place)


def test_table_shows_structures_from_top_to_bottom(driver: Driver) -> None:
    assert column(driver, NAME) == list(samples.TOP_DOWN)
    voxels = 3 * samples.HEIGHT * samples.DEPTH
    assert column(driver, VOLUME) == [f"{voxels * 4 / 1000:.1f}"] * len(samples.TOP_DOWN)
    assert column(driver, CONFIDENCE)[:3] == ["31 %", "96 %", "70 %"]
    assert "9 structures, L2 to S" in driver.ui.summaryLabel.text
    assert "87 % sure" in driver.ui.summaryLabel.text


def test_doubtful_confidence_is_tinted(driver: Driver) -> None:
    table = driver.ui.structureTable
    tints = [table.item(row, CONFIDENCE).background().color().name() for row in range(3)]
    assert len(set(tints)) == 3, "unlikely, sure and doubtful look different"
    assert tints[1] == table.item(1, NAME).background().color().name(), "sure is not tinted"


def test_warnings_of_the_spine_stand_above_the_table(driver: Driver, tmp_path: Path) -> None:
    assert driver.ui.warningsLabel.visible and "The image is noisy" in driver.ui.warningsLabel.text
    segmentation = driver.parameters.segmentation
    segmentation.GetSegmentation().RemoveSegment(driver.segment_id("L4"))
    driver.rest()
    assert "L4" in driver.ui.warningsLabel.text, "a missing level is said at once"


def test_no_warnings_no_box(driver: Driver, tmp_path: Path) -> None:
    volume = driver.parameters.inputVolume
    driver.import_result(samples.segment_result(volume, tmp_path, warnings=[]))
    assert not driver.ui.warningsLabel.visible


def test_uncalibrated_confidences_are_said(driver: Driver, tmp_path: Path) -> None:
    volume = driver.parameters.inputVolume
    driver.import_result(samples.segment_result(volume, tmp_path, calibrated=False))
    assert "not calibrated" in driver.ui.summaryLabel.text


def test_click_moves_all_views(driver: Driver) -> None:
    click(driver, "L4")
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    place = crosshair.GetCrosshairRAS()
    from CPS4SegmentLib.structures import center

    expected = center(driver.parameters.segmentation, driver.segment_id("L4"))
    assert place == pytest.approx(expected)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        distance = (expected - matrix[:3, 3]) @ matrix[:3, 2]
        assert abs(distance) < 1e-3, f"{node.GetName()} shows another place"


def test_arrow_key_jumps_too(driver: Driver) -> None:
    click(driver, "L4")
    before = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()
    driver.press(driver.ui.structureTable, qt.Qt.Key_Down)
    after = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()
    assert after[2] < before[2]


def test_check_box_hides_a_structure_without_jumping(driver: Driver) -> None:
    table = driver.ui.structureTable
    table.item(4, VISIBLE).setCheckState(qt.Qt.Unchecked)
    display = driver.parameters.segmentation.GetDisplayNode()
    assert not display.GetSegmentVisibility(driver.segment_id("L4"))
    assert display.GetSegmentVisibility(driver.segment_id("L5"))


def test_table_follows_visibility_changed_elsewhere(driver: Driver) -> None:
    display = driver.parameters.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(driver.segment_id("L5"), False)
    driver.rest()
    hidden = driver.ui.structureTable.item(column(driver, NAME).index("L5"), VISIBLE)
    assert hidden.checkState() == qt.Qt.Unchecked


def test_table_follows_names_and_voxels_changed_elsewhere(driver: Driver) -> None:
    segmentation = driver.parameters.segmentation
    segmentation.GetSegmentation().GetSegment(driver.segment_id("L2")).SetName("odd one")
    mask = samples.labels() == samples.value("L3")
    mask[:2] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype("uint8"), segmentation, driver.segment_id("L3"), driver.parameters.inputVolume
    )
    driver.rest()
    names = column(driver, NAME)
    assert "odd one" in names and "L2" not in names
    assert column(driver, VOLUME)[names.index("L3")] == f"{mask.sum() * 4 / 1000:.1f}"


def test_selection_stays_when_the_table_is_filled_again(driver: Driver) -> None:
    click(driver, "L4")
    driver.parameters.segmentation.GetSegmentation().RemoveSegment(driver.segment_id("L2"))
    driver.rest()
    table = driver.ui.structureTable
    assert table.item(table.currentRow(), NAME).text() == "L4"
    assert driver.ui.levelSelector.currentText == "L4"


def test_shift_needs_a_selected_level(driver: Driver) -> None:
    assert not driver.ui.shiftButton.enabled and "Select" in driver.ui.shiftButton.toolTip
    assert not driver.ui.undoShiftButton.enabled
    click(driver, "L4")
    assert not driver.ui.shiftButton.enabled, "L4 is L4 already"
    assert driver.ui.levelSelector.currentText == "L4"


def test_shift_renames_vertebrae_and_discs_and_undo_takes_it_back(driver: Driver) -> None:
    driver.parameters.segmentation.GetSegmentation().RemoveSegment(driver.segment_id("S"))
    driver.parameters.segmentation.GetSegmentation().RemoveSegment(driver.segment_id("L5/S"))
    driver.rest()
    before = column(driver, NAME)
    click(driver, "L4")
    driver.choose(driver.ui.levelSelector, "L3")
    assert "L4 becomes L3" in driver.ui.shiftButton.toolTip
    driver.ui.shiftButton.click()
    driver.rest()
    assert column(driver, NAME) == ["L1", "L1/L2", "L2", "L2/L3", "L3", "L3/L4", "L4"]
    assert column(driver, CONFIDENCE)[0] == "by hand"
    assert "sure" not in driver.ui.summaryLabel.text, "the model's word on levels is void"
    assert driver.ui.undoShiftButton.enabled
    driver.ui.undoShiftButton.click()
    driver.rest()
    assert column(driver, NAME) == before and column(driver, CONFIDENCE)[0] == "31 %"
    assert not driver.ui.undoShiftButton.enabled


def test_shift_beyond_the_schema_is_refused_in_words(driver: Driver) -> None:
    click(driver, "L4")
    driver.choose(driver.ui.levelSelector, "L5")
    driver.ui.shiftButton.click()
    driver.rest()
    assert column(driver, NAME) == list(samples.TOP_DOWN), "nothing was renamed"
    assert "S" in driver.said("error")[-1] and "cannot move" in driver.said("error")[-1]


def test_foreign_segmentation_is_said_not_raised(driver: Driver) -> None:
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "liver")
    other.GetSegmentation().AddEmptySegment("liver", "liver")
    driver.parameters.segmentation = other
    assert driver.ui.structureTable.rowCount == 0
    assert "liver" in driver.ui.summaryLabel.text


def test_combo_chooses_the_segmentation(driver: Driver, tmp_path: Path) -> None:
    first = driver.parameters.segmentation
    driver.ui.segmentationSelector.setCurrentNode(None)
    assert driver.parameters.segmentation is None and driver.ui.structureTable.rowCount == 0
    driver.ui.segmentationSelector.setCurrentNode(first)
    assert driver.parameters.segmentation is first
    assert column(driver, NAME) == list(samples.TOP_DOWN)


def test_choosing_another_volumes_segmentation_chooses_the_volume(
    driver: Driver, tmp_path: Path
) -> None:
    first, volume = driver.parameters.segmentation, driver.parameters.inputVolume
    second = samples.add_volume("T2 sag, later")
    driver.parameters.inputVolume = second
    assert driver.parameters.segmentation is None, "the new volume has no result yet"
    driver.ui.segmentationSelector.setCurrentNode(first)
    assert driver.parameters.inputVolume is volume


def test_removed_segmentation_empties_the_table(driver: Driver) -> None:
    slicer.mrmlScene.RemoveNode(driver.parameters.segmentation)
    driver.rest()
    assert driver.ui.structureTable.rowCount == 0
    assert "Choose a segmentation" in driver.ui.summaryLabel.text


def test_closed_scene_empties_the_table(driver: Driver) -> None:
    slicer.mrmlScene.Clear(0)
    driver.rest()
    assert driver.ui.structureTable.rowCount == 0 and not driver.ui.warningsLabel.visible


def test_saved_scene_shows_the_same_table(driver: Driver, tmp_path: Path) -> None:
    driver.parameters.segmentation.GetSegmentation().RemoveSegment(driver.segment_id("S"))
    driver.parameters.segmentation.GetSegmentation().RemoveSegment(driver.segment_id("L5/S"))
    driver.rest()
    click(driver, "L4")
    driver.choose(driver.ui.levelSelector, "L3")
    driver.ui.shiftButton.click()
    driver.rest()
    before = [column(driver, n) for n in (NAME, VOLUME, CONFIDENCE, WARNINGS)]
    driver.save_and_load(tmp_path / "scene.mrb")
    assert [column(driver, n) for n in (NAME, VOLUME, CONFIDENCE, WARNINGS)] == before
    driver.ui.undoShiftButton.click()
    driver.rest()
    assert "L4" in column(driver, NAME) and "L1" not in column(driver, NAME)
