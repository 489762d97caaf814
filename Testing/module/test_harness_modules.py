"""Scripted modules are loaded, shown, reloaded and unloaded as Slicer does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from slicerharness import dialogs, signals

SAMPLE = Path(__file__).with_name("sample") / "Sample.py"
Load = Callable[[Path], tuple[Any, Any]]


def add_volume() -> Any:
    return slicer.util.addVolumeFromArray(np.full((3, 4, 5), 7, np.int16), name="T2")


def test_the_panel_works(load_module: Load) -> None:
    _, widget = load_module(SAMPLE)
    volume = add_volume()
    widget.ui.inputSelector.setCurrentNode(volume)
    assert widget.parameters.inputVolume is volume
    widget.ui.applyButton.click()
    assert widget.ui.statusLabel.text == "maximum 7"


def test_the_flags_of_the_ui_file_are_understood(load_module: Load) -> None:
    _, widget = load_module(SAMPLE)
    dialogs.answer("/a/folder")
    widget.ui.folderEdit.browse()
    assert widget.ui.folderEdit.currentPath == "/a/folder"
    assert dialogs.shown[-1].kind == "getExistingDirectory"


def test_an_error_in_a_slot_is_shown_and_kept(load_module: Load) -> None:
    _, widget = load_module(SAMPLE)
    widget.ui.applyButton.click()
    assert dialogs.shown[-1].text == "The sample failed.\n\nNo volume was chosen."
    assert "No volume was chosen." in signals.slot_errors[0]
    signals.slot_errors.clear()


def test_the_module_is_registered(load_module: Load) -> None:
    load_module(SAMPLE)
    module = slicer.util.getModule("Sample")
    assert module.title == "Sample of a module" and module.path == str(SAMPLE)
    assert slicer.util.getModuleWidget("Sample") is slicer.modules.SampleWidget
    assert slicer.util.modulePath("Sample") == str(SAMPLE)
    assert "Sample" in slicer.util.moduleNames()


def test_switching_modules_enters_and_leaves(load_module: Load) -> None:
    _, widget = load_module(SAMPLE)
    slicer.util.selectModule("Sample")
    assert slicer.util.selectedModule() == "Sample" and widget.parent.isEntered
    slicer.util.selectModule("Data")
    assert widget.history == ["setup", "enter", "exit"] and not widget.parent.isEntered


def test_closing_the_scene_reaches_the_module(load_module: Load) -> None:
    _, widget = load_module(SAMPLE)
    slicer.mrmlScene.Clear(0)
    assert widget.history == ["setup", "closed"]


def test_reloading_makes_a_new_panel(load_module: Load) -> None:
    _, before = load_module(SAMPLE)
    before.onReload()
    after = slicer.modules.SampleWidget
    assert before.history == ["setup", "cleanup"]
    assert after is not before and after.history == ["setup"]
    after.ui.noteEdit.text = "still works"
    assert after.parameters.note == "still works"


def test_unloading_cleans_up() -> None:
    import slicerharness

    _, widget = slicerharness.load_module(SAMPLE)
    slicer.util.selectModule("Sample")
    slicerharness.unload_module("Sample")
    assert widget.history == ["setup", "enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "sample")


def test_the_own_test_of_the_module_runs(load_module: Load) -> None:
    load_module(SAMPLE)
    slicer.modules.SampleInstance.runTest()
    slicer.selfTests["Sample"]()


def test_a_ui_file_with_an_unknown_widget_is_an_error(tmp_path: Path) -> None:
    text = (SAMPLE.parent / "Resources" / "UI" / "Sample.ui").read_text()
    path = tmp_path / "Wrong.ui"
    path.write_text(text.replace("ctkSliderWidget", "ctkSlidingWidget"))
    with pytest.raises(RuntimeError, match="ctkSlidingWidget"):
        slicer.util.loadUI(str(path))
