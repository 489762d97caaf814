"""Section Segment, clicked through: what is missing, a run, what is in the scene already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from machine import BROKEN, MODEL, Machine, choose, click, make_volume, pump
from segment_panel import (
    idle,
    log,
    made_up_machine,
    names,
    opened_panel,
    paint,
    run,
    segmentations,
    temporary_files,
)
from slicerharness import dialogs


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from made_up_machine(tmp_path, monkeypatch)


@pytest.fixture
def panel(machine: Machine, load_module: Any) -> Iterator[Any]:
    yield from opened_panel(machine, load_module)


# What is missing


def test_button_says_that_a_volume_is_missing(panel: Any) -> None:
    button, hint = panel.ui.applyButton, panel.ui.hintLabel
    assert not button.enabled and "No volume is chosen" in button.toolTip
    assert hint.text == button.toolTip and not hint.isHidden()


def test_volume_loaded_later_is_taken_and_enables_the_button(panel: Any) -> None:
    volume = make_volume()
    assert panel.parameters.inputVolume is volume
    assert panel.ui.applyButton.enabled and panel.ui.hintLabel.isHidden()
    assert "Segment the input volume" in panel.ui.applyButton.toolTip


def test_module_opened_after_loading_takes_the_volume_that_is_shown(panel: Any) -> None:
    make_volume("first")
    shown = make_volume("shown")
    panel.parameters.inputVolume = None
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(shown.GetID())
    panel.enter()
    assert panel.parameters.inputVolume is shown


@pytest.mark.parametrize(
    "kind, words",
    [("colour", "3 values per voxel"), ("slice", "single slice"), ("label", "label map")],
)
def test_volume_that_cannot_be_segmented_says_why(panel: Any, kind: str, words: str) -> None:
    if kind == "colour":
        pixels = np.zeros((4, 20, 20, 3), np.uint8)
        volume = slicer.util.addVolumeFromArray(pixels, nodeClassName="vtkMRMLVectorVolumeNode")
    elif kind == "slice":
        volume = slicer.util.addVolumeFromArray(np.zeros((1, 20, 20), np.int16))
    else:
        voxels = np.zeros((4, 20, 20), np.uint8)
        volume = slicer.util.addVolumeFromArray(voxels, nodeClassName="vtkMRMLLabelMapVolumeNode")
    panel.parameters.inputVolume = volume
    assert not panel.ui.applyButton.enabled and words in panel.ui.applyButton.toolTip
    assert panel.ui.applyButton.toolTip == panel.ui.hintLabel.text


def test_models_are_listed_with_what_they_learned_from(panel: Any, machine: Machine) -> None:
    machine.models(MODEL, BROKEN)
    make_volume()
    panel.discovery.look_for_models()
    pump(lambda: len(panel.discovery.models) == 2)
    box = panel.ui.modelComboBox
    assert [box.itemText(i) for i in range(box.count)] == ["lumbar", "half (cannot be used)"]
    assert panel.ui.modelDetailLabel.text == (
        "Trained on SPIDER (18 labelled cases); licence CC BY 4.0."
        " Quality: mDice 0.832 on 7 test cases."
    )
    assert box.itemData(1, qt.Qt.ToolTipRole) == BROKEN["problem"]
    choose(box, 1)
    assert panel.parameters.model == "half"
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == BROKEN["problem"]
    choose(box, 0)
    assert panel.parameters.model == "lumbar" and panel.ui.applyButton.enabled


def test_two_models_of_one_name_can_be_told_apart(panel: Any, machine: Machine) -> None:
    machine.models(MODEL, {**MODEL, "folder": "/other/lumbar", "data": "own data"})
    panel.discovery.look_for_models()
    pump(lambda: len(panel.discovery.models) == 2)
    choose(panel.ui.modelComboBox, 1)
    assert panel.parameters.model == "/other/lumbar"
    assert "own data" in panel.ui.modelDetailLabel.text and panel.ui.modelComboBox.currentIndex == 1


def test_model_of_another_machine_is_named_as_missing(panel: Any) -> None:
    make_volume()
    panel.parameters.model = "cervical"
    assert "The model cervical is not on this machine" in panel.ui.applyButton.toolTip
    assert panel.ui.modelComboBox.currentIndex == -1 and not panel.ui.applyButton.enabled


def test_no_model_at_all_says_so(panel: Any, machine: Machine) -> None:
    make_volume()
    machine.models()
    panel.discovery.look_for_models()
    pump(lambda: panel.discovery.models == [])
    assert "Add a model's folder" in panel.ui.applyButton.toolTip


# A run


def test_result_comes_into_the_scene(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5", "L4")
    segmentation = run(panel)
    assert names(segmentation) == {"L5", "L4"}
    assert panel.ui.statusLabel.text == "T2: 2 structures in 3 s (torch on cuda:0)."
    assert panel.ui.progressBar.isHidden() and temporary_files() == []
    assert "Segmenting T2..." in log(panel)


def test_progress_shows_steps_and_the_time_left(panel: Any, machine: Machine) -> None:
    machine.segment(make_volume(), "L5", mood="slow")
    click(panel.ui.applyButton)
    bar = panel.ui.progressBar
    assert panel.ui.applyButton.text == "Cancel" and not bar.isHidden() and bar.maximum == 0
    pump(lambda: bar.maximum == 600 and bar.value >= 2)
    assert panel.ui.timeLabel.text == "about 60 s left" and not panel.ui.timeLabel.isHidden()
    assert bar.format == "Work %p%"
    click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Stopping..." and not panel.ui.applyButton.enabled
    pump(idle(panel))
    assert panel.ui.statusLabel.text == "Cancelled. The scene is as it was."
    assert segmentations() == [] and temporary_files() == []
    machine.segment(panel.parameters.inputVolume, "L5")
    assert names(run(panel)) == {"L5"}
    assert machine.starts() == 1, "the model stays loaded"


def test_model_device_and_volume_reach_the_worker(
    panel: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    submit = panel.worker.submit

    def note(command: str, arguments: Any, *rest: Any) -> Any:
        asked.append((command, arguments, os.path.exists(arguments["volume"])))
        return submit(command, arguments, *rest)

    monkeypatch.setattr(panel.worker, "submit", note)
    panel.settings.device = "cpu"
    machine.segment(make_volume(), "L5")
    run(panel)
    (command, arguments, there), *more = asked
    assert command == "segment" and there and not more
    assert (arguments["model"], arguments["device"]) == ("/models/lumbar", "cpu")


def test_gpu_out_of_memory_is_told_and_stays_told(panel: Any, machine: Machine) -> None:
    machine.segment(make_volume(), "L5", mood="chatty", warnings=["L5 may be L4: no anchor."])
    run(panel)
    status = panel.ui.statusLabel.text
    assert "The GPU has too little memory free; computing on the CPU." in status
    assert "(and 1 more, see Messages)" in status
    assert "Warning: L5 may be L4: no anchor." in log(panel)


def test_failure_is_told_and_can_be_repeated(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5", mood="fails")
    run(panel)
    assert panel.ui.statusLabel.text == "The volume is too small. Take another."
    assert segmentations() == [] and temporary_files() == []
    machine.segment(volume, "L5")
    assert names(run(panel)) == {"L5"}


def test_result_that_does_not_fit_is_refused_with_a_reason(panel: Any, machine: Machine) -> None:
    machine.segment(make_volume("other"), "L5")
    voxels = np.zeros((5, 30, 30), np.int16)
    panel.parameters.inputVolume = slicer.util.addVolumeFromArray(voxels, name="T2")
    run(panel)
    assert "The result has 32 x 40 x 8 voxels" in panel.ui.statusLabel.text
    assert segmentations() == []


def test_3d_is_shown_on_request_and_for_the_next_result(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5")
    contents = run(panel).GetSegmentation()
    assert not contents.ContainsRepresentation("Closed surface")
    panel.ui.show3DCheckBox.click()
    assert contents.ContainsRepresentation("Closed surface")
    machine.segment(volume, "L4")
    assert run(panel).GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.show3DCheckBox.click()
    assert not contents.ContainsRepresentation("Closed surface")


# What is in the scene already


def test_untouched_result_is_replaced_without_a_question(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5")
    first = run(panel)
    machine.segment(volume, "L4")
    assert run(panel) is first and names(first) == {"L4"} and dialogs.shown == []


@pytest.mark.parametrize("answer, kept", [("No", True), ("Yes", False), (None, True)])
def test_corrected_result_is_replaced_only_if_the_user_says_so(
    panel: Any,
    machine: Machine,
    answer: str | None,
    kept: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    volume = make_volume()
    machine.segment(volume, "L5")
    first = run(panel)
    paint(first, volume)
    machine.segment(volume, "L4")
    dialogs.answer(answer)
    second = run(panel)
    assert "was changed since it was made" in dialogs.shown[0].text
    assert "T2" not in caplog.text, "the log file is no place for a volume's name"
    assert (second is not first) is kept
    assert names(first) == ({"L5"} if kept else {"L4"}) and names(second) == {"L4"}


def test_renamed_segment_counts_as_a_correction(panel: Any, machine: Machine) -> None:
    machine.segment(make_volume(), "L5")
    contents = run(panel).GetSegmentation()
    contents.GetSegment(contents.GetNthSegmentID(0)).SetName("L6")
    dialogs.answer("No")
    run(panel)
    assert len(segmentations()) == 2


def test_correction_during_the_run_is_not_lost(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5")
    first = run(panel)
    (machine.folder / "gate").touch()
    machine.segment(volume, "L4", mood="waits at the gate")
    click(panel.ui.applyButton)
    pump(lambda: panel.ui.progressBar.maximum == 4)
    paint(first, volume)
    (machine.folder / "gate").unlink()
    pump(idle(panel))
    assert names(first) == {"L5"} and names(panel.parameters.segmentation) == {"L4"}
    assert "T2 spine was changed meanwhile, so the new result is" in panel.ui.statusLabel.text


def test_segmentation_of_the_users_own_is_left_alone(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    own.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    own.GetSegmentation().AddEmptySegment("tumour")
    machine.segment(volume, "L5")
    assert run(panel) is not own and own.GetSegmentation().GetNumberOfSegments() == 1


def test_other_volume_brings_its_own_result(panel: Any, machine: Machine) -> None:
    first, second = make_volume("A"), make_volume("B")
    machine.segment(first, "L5")
    panel.parameters.inputVolume = first
    of_first = run(panel)
    panel.parameters.inputVolume = second
    assert panel.parameters.segmentation is None
    machine.segment(second, "L4")
    of_second = run(panel)
    panel.parameters.inputVolume = first
    assert panel.parameters.segmentation is of_first
    panel.parameters.inputVolume = second
    assert panel.parameters.segmentation is of_second
