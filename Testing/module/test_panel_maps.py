"""The section Prompt maps: computing, stepping through classes, views, own prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicerharness", exc_type=ImportError)

import panel_samples as samples  # noqa: E402
import slicer  # noqa: E402
from CPS4SegmentLib.requirements import Lack  # noqa: E402
from panel_driver import Driver, open_module  # noqa: E402

MAP = "CPS4 prompt map"


@pytest.fixture
def open_panel(load_module: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Driver]:
    return lambda: open_module(load_module, monkeypatch)


@pytest.fixture
def driver(open_panel: Callable[[], Driver]) -> Driver:
    """The panel with a volume and a model that has prompt maps; nothing is computed yet."""
    panel = open_panel()
    panel.offer_models(samples.MODEL)
    panel.open("maps")
    panel.parameters.inputVolume = samples.add_volume()
    return panel


@pytest.fixture
def computed(driver: Driver, tmp_path: Path) -> Driver:
    """The panel after the maps of S, L3 and T9 were computed."""
    driver.ui.computeButton.click()
    volume = driver.parameters.inputVolume
    driver.worker.last("maps").finish(samples.maps_result(volume, tmp_path / "maps"))
    return driver


def composites() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def shown_class() -> str | None:
    """The class whose map lies over the scan in every slice view."""
    foreground = {node.GetForegroundVolumeID() for node in composites()}
    assert len(foreground) == 1, "all slice views show the same"
    node = slicer.mrmlScene.GetNodeByID(foreground.pop() or "")
    return node.GetAttribute("CPS4.PromptMap") if node else None


def is_shown(name: str) -> bool:
    node = slicer.mrmlScene.GetFirstNodeByName(name)
    return node is not None and bool(node.GetDisplayNode().GetVisibility())


def test_what_is_missing_is_said(open_panel: Callable[[], Driver]) -> None:
    panel = open_panel()
    panel.offer_models(samples.MODEL | {"prompt_maps": False})
    panel.open("maps")
    assert not panel.ui.computeButton.enabled
    assert "No volume" in panel.ui.computeButton.toolTip and panel.ui.mapsHintLabel.visible
    panel.parameters.inputVolume = samples.add_volume()
    assert "starter has no prompt maps" in panel.ui.mapsHintLabel.text
    panel.offer_models(
        samples.MODEL | {"prompt_maps": False, "problem": "The weights are cut off."}
    )
    panel.parameters.model = samples.MODEL["name"]
    assert panel.ui.mapsHintLabel.text == "The weights are cut off."
    panel.offer_models(samples.MODEL)
    assert panel.ui.computeButton.enabled and not panel.ui.mapsHintLabel.visible
    assert not panel.ui.classSelector.enabled and not panel.ui.oneClassButton.enabled
    assert not panel.ui.allClassesButton.enabled
    panel.panel.requirements.lacking = [Lack("torch", ">=2.6", None)]
    panel.panel.changed()
    assert "Setup" in panel.ui.computeButton.toolTip and not panel.ui.computeButton.enabled


def test_computing_asks_the_worker_and_shows_progress(driver: Driver) -> None:
    driver.ui.computeButton.click()
    request = driver.worker.last("maps")
    assert Path(request.arguments["volume"]).is_file() and request.arguments["prompts"] is None
    assert request.arguments["model"] == samples.MODEL["folder"]
    assert not driver.ui.computeButton.enabled
    assert driver.ui.mapsProgressBar.visible and driver.ui.cancelMapsButton.visible
    request.tell(event="step", task="prompt maps", step=3, total=12, seconds_left=20.0)
    assert driver.ui.mapsProgressBar.value == 3 and driver.ui.mapsProgressBar.maximum == 12
    assert driver.ui.mapsTimeLabel.text == "about 20 s left"
    request.tell(event="message", level="warning", message="Too little memory; on the CPU.")
    assert driver.said("warning") == ["Too little memory; on the CPU."]


def test_cancel(driver: Driver) -> None:
    driver.ui.computeButton.click()
    driver.ui.cancelMapsButton.click()
    assert driver.worker.last("maps").state == "cancelled"
    assert driver.ui.computeButton.enabled and not driver.ui.mapsProgressBar.visible
    assert not driver.ui.cancelMapsButton.visible


def test_failure_is_said(driver: Driver) -> None:
    driver.ui.computeButton.click()
    driver.worker.last("maps").fail("The model is damaged. Copy it again.")
    assert driver.said("error") == ["The model is damaged. Copy it again."]
    assert driver.ui.computeButton.enabled and not driver.ui.mapsProgressBar.visible


def test_first_taught_class_is_shown_with_outline_and_legend(computed: Driver) -> None:
    assert computed.ui.oneClassButton.checked
    assert computed.ui.classSelector.currentText == "S" and shown_class() == "S"
    assert is_shown("CPS4 prompt outline")
    assert "A magnetic resonance image of" in computed.ui.promptLabel.text
    assert "highest value is 0.78" in computed.ui.thresholdLabel.text


def test_buttons_and_keys_step_round_the_classes(computed: Driver) -> None:
    computed.ui.nextClassButton.click()
    assert shown_class() == "L3" and computed.parameters.promptClass == "L3"
    computed.type_key(".")
    assert shown_class() == "T9"
    computed.type_key(".")
    assert shown_class() == "S"
    computed.type_key(",")
    assert shown_class() == "T9"
    computed.ui.previousClassButton.click()
    assert shown_class() == "L3"
    assert "," in computed.ui.previousClassButton.toolTip
    assert "." in computed.ui.nextClassButton.toolTip


def test_keys_are_typed_and_not_obeyed_in_a_text_field(computed: Driver) -> None:
    computed.ui.ownPromptEdit.setFocus()
    computed.type_key(".")
    assert shown_class() == "S"


def test_untrained_prompt_is_said(computed: Driver) -> None:
    computed.choose(computed.ui.classSelector, "T9 (untrained prompt)")
    assert shown_class() == "T9"
    assert "Untrained prompt" in computed.ui.promptLabel.text


def test_threshold_follows_the_scrolled_slice(computed: Driver) -> None:
    yellow = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeYellow")
    yellow.SetOrientationToSagittal()
    texts = []
    for right in (-10, -6, -2, 2):  # slices 0 to 3 of the volume
        yellow.JumpSliceByCentering(right, 0, 0)
        texts.append(computed.ui.thresholdLabel.text.split(" in this slice")[0])
    assert texts == ["none", "0.25", "0.50", "0.75"]


def test_opacity_and_outline(computed: Driver) -> None:
    computed.ui.opacitySlider.value = 0.25
    assert {node.GetForegroundOpacity() for node in composites()} == {0.25}
    computed.ui.outlineCheckBox.click()
    assert not is_shown("CPS4 prompt outline")
    computed.ui.nextClassButton.click()
    assert not is_shown("CPS4 prompt outline"), "the next class keeps what was chosen"
    assert {node.GetForegroundOpacity() for node in composites()} == {0.25}


def test_all_classes_one_class_nothing(computed: Driver) -> None:
    computed.ui.allClassesButton.click()
    assert is_shown("CPS4 prompt maps, all classes") and shown_class() is None
    assert not is_shown("CPS4 prompt outline")
    computed.ui.oneClassButton.click()
    assert not is_shown("CPS4 prompt maps, all classes") and shown_class() == "S"
    computed.ui.hideMapsButton.click()
    assert shown_class() is None and not is_shown("CPS4 prompt outline")
    computed.ui.nextClassButton.click()
    assert shown_class() == "L3" and computed.ui.oneClassButton.checked


def test_result_is_hidden_while_maps_are_looked_at(computed: Driver, tmp_path: Path) -> None:
    volume = computed.parameters.inputVolume
    display = computed.import_result(samples.segment_result(volume, tmp_path)).GetDisplayNode()
    assert not display.GetVisibility2D() and display.GetVisibility(), "in slice views only"
    computed.ui.withoutResultCheckBox.click()
    assert display.GetVisibility2D()
    computed.ui.withoutResultCheckBox.click()
    computed.ui.mapsCollapsibleButton.collapsed = True
    assert display.GetVisibility2D() and shown_class() == "S", "the map stays, to paint beside it"
    computed.ui.mapsCollapsibleButton.collapsed = False
    assert not display.GetVisibility2D()
    computed.widget.exit()
    assert display.GetVisibility2D()
    computed.widget.enter()
    computed.ui.hideMapsButton.click()
    assert display.GetVisibility2D()


def test_result_hidden_in_a_saved_scene_comes_back(computed: Driver, tmp_path: Path) -> None:
    computed.import_result(samples.segment_result(computed.parameters.inputVolume, tmp_path))
    computed.save_and_load(tmp_path / "scene.mrb")
    assert computed.parameters.segmentation.GetDisplayNode().GetVisibility2D()


def test_own_prompt_is_mapped_on_demand(computed: Driver, tmp_path: Path) -> None:
    assert not computed.ui.ownPromptButton.enabled
    assert "Write a prompt" in computed.ui.ownPromptButton.toolTip
    computed.ui.ownPromptEdit.setText("the spinal canal")
    computed.ui.ownPromptButton.click()
    request = computed.worker.last("maps")
    assert request.arguments["prompts"] == ["the spinal canal"]
    first = next(r for r in computed.worker.requests if r.command == "maps")
    assert request.arguments["volume"] == first.arguments["volume"], "the worker knows this file"
    volume = computed.parameters.inputVolume
    own = samples.maps_result(volume, tmp_path / "own", ["the spinal canal"])
    request.finish(own)
    assert shown_class() == "the spinal canal"
    assert "Your own prompt" in computed.ui.promptLabel.text
    assert computed.ui.classSelector.count == 4, "the classes are still there"
    computed.ui.nextClassButton.click()
    assert shown_class() == "S"


def test_own_prompt_needs_a_text_encoder(driver: Driver) -> None:
    driver.offer_models(samples.MODEL | {"new_prompts": False})
    driver.ui.ownPromptEdit.setText("the spinal canal")
    assert not driver.ui.ownPromptButton.enabled
    assert "text encoder" in driver.ui.ownPromptButton.toolTip


def test_maps_belong_to_their_volume(computed: Driver) -> None:
    first = computed.parameters.inputVolume
    computed.parameters.inputVolume = samples.add_volume("T2 sag, later")
    assert shown_class() is None and computed.ui.classSelector.count == 0
    computed.parameters.inputVolume = first
    assert shown_class() == "S" and computed.ui.classSelector.count == 3


def test_map_that_does_not_fit_is_said(driver: Driver, tmp_path: Path) -> None:
    driver.ui.computeButton.click()
    result = samples.maps_result(driver.parameters.inputVolume, tmp_path / "maps")
    wrong = samples.labels()[:, :20]
    samples.write_like(driver.parameters.inputVolume, wrong, Path(result["prompts"][0]["map"]))
    driver.worker.last("maps").finish(result)
    assert "does not fit" in driver.said("error")[-1]


def test_another_model_is_said(computed: Driver) -> None:
    computed.offer_models(samples.MODEL, samples.MODEL | {"name": "other", "folder": "/other"})
    computed.parameters.model = "other"
    assert "made with the model starter" in computed.ui.mapsHintLabel.text


def test_removed_volume_in_the_middle_of_a_run(driver: Driver, tmp_path: Path) -> None:
    volume = driver.parameters.inputVolume
    driver.ui.computeButton.click()
    result = samples.maps_result(volume, tmp_path / "maps")
    slicer.mrmlScene.RemoveNode(volume)
    driver.worker.last("maps").finish(result)
    assert "removed" in driver.said("warning")[-1]
    assert not slicer.mrmlScene.GetFirstNodeByName(MAP)


def test_removed_map_node_is_made_again(computed: Driver) -> None:
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetFirstNodeByName(MAP))
    computed.ui.nextClassButton.click()
    assert shown_class() == "L3"


def test_closing_the_scene_stops_the_run_and_deletes_its_files(driver: Driver) -> None:
    driver.ui.computeButton.click()
    request = driver.worker.last("maps")
    slicer.mrmlScene.Clear(0)
    assert request.over and not Path(request.arguments["volume"]).exists()
    assert not driver.ui.mapsProgressBar.visible and driver.ui.classSelector.count == 0


def test_leaving_the_module_keeps_the_run(driver: Driver, tmp_path: Path) -> None:
    driver.ui.computeButton.click()
    driver.widget.exit()
    volume = driver.parameters.inputVolume
    driver.worker.last("maps").finish(samples.maps_result(volume, tmp_path / "maps"))
    driver.widget.enter()
    assert driver.ui.classSelector.count == 3


def test_reloading_the_module_in_the_middle_of_a_run(driver: Driver) -> None:
    driver.ui.computeButton.click()
    request = driver.worker.last("maps")
    slicer.util.reloadScriptedModule("CPS4Segment")
    assert request.over and not Path(request.arguments["volume"]).exists()
    again = Driver(slicer.modules.CPS4SegmentWidget)
    assert again.parameters.inputVolume and not again.ui.mapsProgressBar.visible


def test_saved_scene_keeps_map_choice_and_opacity(computed: Driver, tmp_path: Path) -> None:
    computed.ui.nextClassButton.click()
    computed.ui.opacitySlider.value = 0.75
    computed.ui.ownPromptEdit.setText("the spinal canal")
    computed.save_and_load(tmp_path / "scene.mrb")
    assert computed.parameters.promptClass == "L3"
    assert computed.ui.opacitySlider.value == pytest.approx(0.75)
    assert computed.ui.ownPromptEdit.text == "the spinal canal"
    assert slicer.mrmlScene.GetFirstNodeByName(MAP).GetAttribute("CPS4.PromptMap") == "L3"
    computed.ui.hideMapsButton.click()
    assert shown_class() is None, "a map that came with the scene can be hidden"


def test_closing_the_scene_while_maps_are_computed_is_said(driver: Driver) -> None:
    """The files stay until the worker has let go of them: it may still be writing there."""
    driver.ui.computeButton.click()
    request = driver.worker.last("maps")
    request.cancel = lambda: None  # the worker takes its time
    folder = Path(request.arguments["volume"]).parents[1]
    slicer.mrmlScene.Clear(0)
    assert "prompt maps that were being computed were stopped" in driver.said("warning")[-1]
    assert folder.is_dir()
    request.finish({})
    assert not folder.exists()


def test_maps_wait_for_a_segmentation(driver: Driver) -> None:
    submit = driver.worker.submit

    def queue(*arguments: Any) -> Any:
        request = submit(*arguments)
        request.waits_for = "segment"
        return request

    driver.panel.worker.submit = queue
    driver.ui.computeButton.click()
    assert driver.said("info")[-1] == "The prompt maps wait until the segmentation is done."
