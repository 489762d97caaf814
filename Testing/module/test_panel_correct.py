"""The section Correct: the embedded Segment Editor, and submitting a correction to a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicerharness", exc_type=ImportError)

import numpy as np  # noqa: E402
import panel_samples as samples  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import slicer  # noqa: E402
from CPS4SegmentLib.requirements import Lack  # noqa: E402
from CPS4SegmentLib.sections.submission import proposed_case_id  # noqa: E402
from panel_driver import MODULE, Driver, open_module  # noqa: E402
from slicerharness import dialogs, painting  # noqa: E402

ANSWER = {
    "case": "T2_sag",
    "image": "imagesTr/T2_sag_0000.nrrd",
    "label": "labelsTr/T2_sag.nrrd",
    "version": 1,
    "labelled": 4,
    "unlabelled": 12,
    "study_created": False,
}


@pytest.fixture
def open_panel(load_module: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Driver]:
    return lambda: open_module(load_module, monkeypatch)


@pytest.fixture
def driver(open_panel: Callable[[], Driver], tmp_path: Path) -> Driver:
    """The panel with a segmented spine in Correct."""
    panel = open_panel()
    panel.offer_models(samples.MODEL)
    panel.parameters.inputVolume = volume = samples.add_volume()
    panel.import_result(samples.segment_result(volume, tmp_path))
    panel.open("correct")
    return panel


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder that looks like a study."""
    folder = tmp_path / "my study"
    folder.mkdir()
    (folder / "dataset.json").write_text("{}")
    return folder


def fill_in(driver: Driver, study: Path) -> None:
    driver.ui.studyPath.currentPath = str(study)
    driver.ui.authorEdit.setText("A. Reader")
    driver.ui.noteEdit.setText("L4 was cut off")


def shared_node() -> Any:
    return slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")


def test_editor_shares_slicers_own_node(driver: Driver) -> None:
    editor = driver.ui.segmentEditor
    assert editor.mrmlSegmentEditorNode() is shared_node()
    assert editor.segmentationNode() is driver.parameters.segmentation
    assert editor.sourceVolumeNode() is driver.parameters.inputVolume
    assert not driver.ui.editedLabel.visible
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")) == 1


def test_painting_takes_voxels_from_neighbours_and_undo_gives_them_back(driver: Driver) -> None:
    from CPS4SegmentLib.structures import center

    segmentation = driver.parameters.segmentation
    before = voxels(driver)
    place = center(segmentation, driver.segment_id("L4"))
    painting.paint(driver.ui.segmentEditor, driver.segment_id("L5"), place, 3.0)
    painted = voxels(driver)
    assert painted["L5"] > before["L5"] and painted["L4"] < before["L4"]
    assert sum(painted.values()) == sum(before.values()), "structures do not overlap"
    driver.ui.segmentEditor.undo()
    assert voxels(driver) == before


def voxels(driver: Driver) -> dict[str, int]:
    segmentation, volume = driver.parameters.segmentation, driver.parameters.inputVolume
    return {
        name: int(
            np.count_nonzero(
                slicer.util.arrayFromSegmentBinaryLabelmap(
                    segmentation, driver.segment_id(name), volume
                )
            )
        )
        for name in samples.TOP_DOWN
    }


def test_editor_lets_go_when_the_section_or_the_module_is_left(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor, calls = driver.ui.segmentEditor, []
    for name in (
        "installKeyboardShortcuts",
        "uninstallKeyboardShortcuts",
        "setupViewObservations",
        "removeViewObservations",
    ):
        monkeypatch.setattr(type(editor), name, lambda self, *_, name=name: calls.append(name))
    leave = {"uninstallKeyboardShortcuts", "removeViewObservations"}
    take = {"installKeyboardShortcuts", "setupViewObservations"}

    editor.setActiveEffectByName("Paint")
    driver.ui.correctCollapsibleButton.collapsed = True
    assert editor.activeEffect() is None and set(calls) == leave
    calls.clear()
    driver.ui.correctCollapsibleButton.collapsed = False
    assert set(calls) == take
    calls.clear()
    editor.setActiveEffectByName("Paint")
    driver.widget.exit()
    assert editor.activeEffect() is None and set(calls) == leave
    calls.clear()
    driver.ui.correctCollapsibleButton.collapsed = True
    driver.ui.correctCollapsibleButton.collapsed = False
    assert calls == [], "another module has the shortcuts"
    driver.widget.enter()
    assert set(calls) == take


def test_editor_follows_what_slicers_module_did_meanwhile(driver: Driver) -> None:
    """The shared node may point elsewhere when the user comes back."""
    driver.widget.exit()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "liver")
    shared_node().SetAndObserveSegmentationNode(other)
    shared_node().SetOverwriteMode(shared_node().OverwriteNone)
    driver.widget.enter()
    assert driver.ui.segmentEditor.segmentationNode() is driver.parameters.segmentation
    assert shared_node().GetOverwriteMode() == shared_node().OverwriteAllSegments


def test_nothing_to_edit_is_said(open_panel: Callable[[], Driver]) -> None:
    panel = open_panel()
    panel.open("correct")
    assert panel.ui.editedLabel.visible and not panel.ui.segmentEditor.enabled
    assert "a segmentation" in panel.ui.submitButton.toolTip


def test_tooltip_says_what_is_missing(driver: Driver, study: Path) -> None:
    tip = driver.ui.submitButton.toolTip
    assert not driver.ui.submitButton.enabled
    assert "a study folder" in tip and "who corrected it" in tip and "case id" not in tip
    fill_in(driver, study)
    assert driver.ui.submitButton.enabled
    for wrong in ("", "a b", "patient^name"):
        driver.ui.caseEdit.setText(wrong)
        assert not driver.ui.submitButton.enabled and "case id" in driver.ui.submitButton.toolTip
    driver.ui.caseEdit.setText("case_7")
    driver.ui.studyPath.currentPath = "relative/folder"
    assert "full path" in driver.ui.submitButton.toolTip
    driver.ui.studyPath.currentPath = str(study)
    driver.panel.requirements.lacking = [Lack("torch", ">=2.6", "")]
    driver.panel.changed()
    assert "Setup" in driver.ui.submitButton.toolTip


@pytest.mark.parametrize(
    ("volume", "case"),
    [
        ("T2 sag", "T2_sag"),
        ("spider_005_0000", "spider_005"),
        ("12: t2_tse sag (Übersicht)", "12_t2_tse_sag_bersicht"),
        ("Doe^Jane", ""),
        ("___", ""),
    ],
)
def test_case_id_is_proposed_from_the_volumes_name(volume: str, case: str) -> None:
    assert proposed_case_id(volume) == case


def test_patients_name_is_warned_of(driver: Driver) -> None:
    assert not driver.ui.caseWarningLabel.visible
    driver.parameters.inputVolume = samples.add_volume("Doe^Jane")
    assert driver.ui.caseWarningLabel.visible and driver.ui.caseEdit.text == ""


def test_submit_hands_over_volume_and_labels(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    request = driver.worker.last("submit")
    given = request.arguments
    assert given["study"] == str(study) and given["case"] == "T2_sag"
    assert given["author"] == "A. Reader" and given["note"] == "L4 was cut off"
    assert given["model"] == {"name": "starter", "fingerprint": "abc"}
    image, label = sitk.ReadImage(given["volume"]), sitk.ReadImage(given["label"])
    assert image.GetSize() == label.GetSize() and image.GetOrigin() == label.GetOrigin()
    assert image.GetDirection() == label.GetDirection()
    assert (sitk.GetArrayFromImage(label) == samples.labels()).all()
    assert (
        not driver.ui.submitButton.enabled and "being submitted" in driver.ui.submitButton.toolTip
    )
    request.finish(ANSWER)
    text = driver.ui.submittedLabel.text
    assert "4 labelled cases and 12 without" in text and f'cps4 train "{study}"' in text
    assert "earlier" not in text
    assert driver.ui.noteEdit.text == "" and driver.ui.submitButton.enabled
    assert not Path(given["volume"]).exists(), "exported files are deleted"


def test_shifted_levels_are_submitted_under_their_new_names(driver: Driver, study: Path) -> None:
    from CPS4SegmentLib.level_shift import shift_levels

    shift_levels(driver.parameters.segmentation, driver.segment_id("L4"), "L3")
    fill_in(driver, study)
    driver.ui.submitButton.click()
    label = sitk.GetArrayFromImage(sitk.ReadImage(driver.worker.last("submit").arguments["label"]))
    was, now = samples.labels() == samples.value("L4"), label == samples.value("L3")
    assert (was == now).all()


def test_what_the_study_warns_of_is_said(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    warning = "This is a test case: the correction changes the yardstick"
    answer = ANSWER | {"version": 3, "split": "test", "warnings": [warning]}
    driver.worker.last("submit").finish(answer)
    text = driver.ui.submittedLabel.text
    assert f"{warning}." in text and "version 3" in text and "kept" in text


def test_new_study_is_asked_for(driver: Driver, tmp_path: Path) -> None:
    fill_in(driver, tmp_path / "new")
    dialogs.answer("No")
    driver.ui.submitButton.click()
    assert "new" in dialogs.shown[-1].text
    assert not any(request.command == "submit" for request in driver.worker.requests)
    dialogs.answer("Yes")
    driver.ui.submitButton.click()
    driver.worker.last("submit").finish(ANSWER | {"study_created": True})
    assert "new study" in driver.ui.submittedLabel.text


def test_failed_submission_loses_nothing(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    driver.worker.last("submit").fail("No space left on the disk. Free some.")
    assert driver.said("error") == ["No space left on the disk. Free some."]
    assert driver.ui.submitButton.enabled and driver.ui.noteEdit.text == "L4 was cut off"
    assert driver.ui.submittedLabel.text == ""


def test_unknown_segment_is_named(driver: Driver, study: Path) -> None:
    contents = driver.parameters.segmentation.GetSegmentation()
    contents.GetSegment(driver.segment_id("L4")).SetName("tumour")
    contents.GetSegment(contents.GetSegmentIdBySegmentName("tumour")).RemoveTag("TerminologyEntry")
    fill_in(driver, study)
    driver.ui.submitButton.click()
    assert "tumour" in driver.said("error")[-1]
    assert not any(request.command == "submit" for request in driver.worker.requests)


def test_folder_and_author_survive_a_restart(
    driver: Driver, study: Path, load_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_in(driver, study)
    settings = driver.panel.settings
    assert settings.study_folder == str(study) and settings.author == "A. Reader"
    slicer.util.reloadScriptedModule("CPS4Segment")
    again = Driver(slicer.modules.CPS4SegmentWidget)
    assert again.ui.studyPath.currentPath == str(study)
    assert again.ui.authorEdit.text == "A. Reader"


def test_own_case_id_is_saved_with_the_scene(driver: Driver, tmp_path: Path) -> None:
    driver.type_into(driver.ui.caseEdit, "case_7")
    driver.save_and_load(tmp_path / "scene.mrb")
    assert driver.ui.caseEdit.text == "case_7"
    assert driver.ui.segmentEditor.segmentationNode() is driver.parameters.segmentation
    assert driver.ui.segmentEditor.mrmlSegmentEditorNode() is shared_node()


def test_removed_nodes_leave_no_error(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.segmentEditor.setActiveEffectByName("Paint")
    slicer.mrmlScene.RemoveNode(driver.parameters.segmentation)
    driver.rest()
    assert driver.ui.segmentEditor.segmentationNode() is None
    assert "a segmentation" in driver.ui.submitButton.toolTip
    slicer.mrmlScene.RemoveNode(driver.parameters.inputVolume)
    driver.rest()
    assert "the volume" in driver.ui.submitButton.toolTip


def test_closing_the_scene_lets_the_editor_go(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    request = driver.worker.last("submit")
    slicer.mrmlScene.Clear(0)
    driver.rest()
    assert driver.ui.segmentEditor.segmentationNode() is None
    assert not driver.ui.submitButton.enabled
    files = [Path(request.arguments[key]) for key in ("volume", "label")]
    assert all(file.is_file() for file in files) and not request.over, "it goes on"
    request.finish(ANSWER)
    assert driver.said("info")[-1] == "The correction of case T2_sag is submitted."
    assert driver.ui.submittedLabel.text == "", "it tells of the case that is shown"
    assert not any(file.parent.exists() for file in files)


def test_closing_slicer_waits_for_a_submission(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    waited = []
    driver.worker.wait = lambda request, seconds: waited.append(request) or request.finish(ANSWER)
    driver.widget.cleanup()
    assert waited == [driver.worker.last("submit")]
    assert driver.said("info")[-1] == "The correction of case T2_sag is submitted."


def test_renamed_volume_gets_another_proposal(driver: Driver) -> None:
    driver.parameters.inputVolume.SetName("Doe^Jane")
    driver.panel.changed()
    assert driver.ui.caseEdit.text == "" and driver.ui.caseWarningLabel.visible
    driver.parameters.inputVolume.SetName("T2 " + "x" * 300)
    driver.panel.changed()
    assert len(driver.ui.caseEdit.text) == 60 and not driver.ui.caseWarningLabel.visible


def test_folder_of_something_else_is_left_to_the_worker_to_refuse(
    driver: Driver, study: Path
) -> None:
    """Without the question whether to make a study; and it can be tried again at once."""
    fill_in(driver, study)
    (study / "dataset.json").rename(study / "photo.jpg")
    driver.ui.submitButton.click()
    driver.worker.last("submit").fail("This folder is not empty and no study.")
    assert driver.ui.submitButton.enabled and "no study" in driver.said("error")[-1]


def test_failure_names_the_nodes_and_no_temporary_file(driver: Driver, study: Path) -> None:
    fill_in(driver, study)
    driver.ui.submitButton.click()
    request = driver.worker.last("submit")
    request.fail(f"The label is empty: {request.arguments['label']}. Label something.")
    name = driver.parameters.segmentation.GetName()
    assert driver.said("error")[-1] == f"The label is empty: '{name}'. Label something."


def test_editor_works_again_in_the_next_scene(driver: Driver, tmp_path: Path) -> None:
    slicer.mrmlScene.Clear(0)
    driver.parameters.inputVolume = volume = samples.add_volume("another")
    segmentation = driver.import_result(samples.segment_result(volume, tmp_path))
    assert driver.ui.segmentEditor.segmentationNode() is segmentation
    assert driver.ui.segmentEditor.sourceVolumeNode() is volume
    assert driver.ui.segmentEditor.mrmlSegmentEditorNode() is shared_node()


def test_submitted_cases_are_labelled_cases_of_the_study(load_module: Any, tmp_path: Path) -> None:
    """Through the real worker: a new study, a correction of the correction, and no path inside."""
    from CPS4Core.study.folder import Study

    driver = Driver(load_module(MODULE)[1])
    driver.panel.requirements.lacking = []
    driver.parameters.inputVolume = volume = samples.add_volume()
    driver.import_result(samples.segment_result(volume, tmp_path))
    driver.open("correct")
    folder = tmp_path / "new study"
    fill_in(driver, folder)
    dialogs.answer("Yes")
    driver.ui.submitButton.click()
    driver.wait_for(lambda: driver.ui.submittedLabel.text or driver.said("error"))
    assert driver.said("error") == [] and "version 1" in driver.ui.submittedLabel.text
    assert Study.open(folder).labelled == ["T2_sag"]
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(Study.open(folder).cases["T2_sag"].label)))
    assert (label == samples.labels()).all()

    from CPS4SegmentLib.structures import center

    place = center(driver.parameters.segmentation, driver.segment_id("L4"))
    painting.paint(driver.ui.segmentEditor, driver.segment_id("L5"), place, 3.0)
    driver.ui.submitButton.click()
    driver.wait_for(lambda: driver.ui.submittedLabel.text or driver.said("error"))
    assert driver.said("error") == [] and "version 2" in driver.ui.submittedLabel.text
    assert "1 labelled case and 0 without" in driver.ui.submittedLabel.text
    record = (folder / "corrections" / "T2_sag.json").read_text()
    assert "A. Reader" in record and str(tmp_path) not in record
