"""What can get in the way of a run: each ends in words, and the case can be run again."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from CPS4SegmentLib import exchange
from machine import MODEL, MODULE, Machine, choose, click, make_volume, pump
from segment_panel import (
    idle,
    living,
    made_up_machine,
    names,
    opened_panel,
    run,
    segmentations,
    temporary_files,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from made_up_machine(tmp_path, monkeypatch)


@pytest.fixture
def panel(machine: Machine, load_module: Any) -> Iterator[Any]:
    yield from opened_panel(machine, load_module)


def start_slow(panel: Any, machine: Machine) -> Any:
    volume = make_volume()
    machine.segment(volume, "L5", mood="slow")
    click(panel.ui.applyButton)
    pump(lambda: panel.ui.progressBar.maximum == 600)
    return volume


def test_worker_killed_in_the_middle_begins_the_case_anew(panel: Any, machine: Machine) -> None:
    volume = start_slow(panel, machine)
    machine.segment(volume, "L5")
    os.kill(machine.pids()[0], 9)
    pump(idle(panel))
    assert names(panel.parameters.segmentation) == {"L5"} and machine.starts() == 2
    assert "started again" in panel.ui.statusLabel.text, "the user is told"


def test_worker_killed_again_fails_the_case_which_can_be_repeated(
    panel: Any, machine: Machine
) -> None:
    volume = make_volume()
    machine.segment(volume, "L5", mood="killed")
    run(panel)
    status = panel.ui.statusLabel.text
    assert "The worker process stopped" in status and "memory" in status
    assert "Nothing is lost: try again" in status and "CPU" in status
    machine.segment(volume, "L5")
    assert names(run(panel)) == {"L5"}


def test_scene_closed_in_the_middle(panel: Any, machine: Machine) -> None:
    start_slow(panel, machine)
    slicer.mrmlScene.Clear(0)
    assert panel.ui.applyButton.text == "Segment" and not panel.ui.applyButton.enabled
    assert "The scene was closed" in panel.ui.statusLabel.text
    pump(lambda: temporary_files() == [])
    machine.segment(make_volume("next"), "L4")
    assert names(run(panel)) == {"L4"} and len(segmentations()) == 1
    assert machine.starts() == 1


def test_input_volume_deleted_in_the_middle(panel: Any, machine: Machine) -> None:
    volume = start_slow(panel, machine)
    other = make_volume("other")
    slicer.mrmlScene.RemoveNode(volume)
    assert "The input volume was removed" in panel.ui.statusLabel.text
    pump(lambda: temporary_files() == [])
    assert segmentations() == []
    machine.segment(other, "L4")
    panel.parameters.inputVolume = other
    assert names(run(panel)) == {"L4"}


def test_result_node_deleted_in_the_middle(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    machine.segment(volume, "L5")
    first = run(panel)
    (machine.folder / "gate").touch()
    machine.segment(volume, "L4", mood="waits at the gate")
    click(panel.ui.applyButton)
    pump(lambda: panel.ui.progressBar.maximum == 4)
    slicer.mrmlScene.RemoveNode(first)
    (machine.folder / "gate").unlink()
    pump(idle(panel))
    assert names(panel.parameters.segmentation) == {"L4"} and len(segmentations()) == 1


def test_other_input_chosen_in_the_middle_keeps_both(panel: Any, machine: Machine) -> None:
    volume, other = make_volume("A"), make_volume("B")
    panel.parameters.inputVolume = volume
    (machine.folder / "gate").touch()
    machine.segment(volume, "L5", mood="waits at the gate")
    click(panel.ui.applyButton)
    pump(lambda: panel.ui.progressBar.maximum == 4)
    panel.parameters.inputVolume = other
    (machine.folder / "gate").unlink()
    pump(idle(panel))
    assert panel.parameters.segmentation is None and len(segmentations()) == 1
    panel.parameters.inputVolume = volume
    assert names(panel.parameters.segmentation) == {"L5"}


def test_module_left_in_the_middle_goes_on(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    (machine.folder / "gate").touch()
    machine.segment(volume, "L5", mood="waits at the gate")
    click(panel.ui.applyButton)
    pump(lambda: panel.ui.progressBar.maximum == 4)
    panel.exit()
    (machine.folder / "gate").unlink()
    pump(idle(panel))
    assert names(panel.parameters.segmentation) == {"L5"}
    panel.enter()
    pump(lambda: not panel.discovery.looking)


def test_module_reloaded_in_the_middle(panel: Any, machine: Machine) -> None:
    volume = start_slow(panel, machine)
    slicer.util.reloadScriptedModule("CPS4Segment")
    assert living(machine) == []
    assert temporary_files() == []
    again = slicer.modules.CPS4SegmentWidget.panel
    machine.segment(volume, "L5")
    again.enter()
    pump(lambda: not again.discovery.looking)
    assert again.parameters.inputVolume is volume
    assert names(run(again)) == {"L5"}


def test_node_of_the_parameters_outlives_the_panel(panel: Any) -> None:
    """Nothing of the panel listens any more, and Python's collector takes no callback in use."""
    slicer.modules.CPS4SegmentWidget.cleanup()
    called: list[int] = []
    panel.changed = lambda: called.append(1)
    gc.collect()
    node = slicer.mrmlScene.GetSingletonNode("CPS4Segment", "vtkMRMLScriptedModuleNode")
    node.SetAttribute("changed", "by another module")
    make_volume()
    assert called == []


def test_volume_waits_while_other_work_is_under_way(panel: Any, machine: Machine) -> None:
    volume = make_volume()
    (machine.folder / "gate").touch()
    panel.worker.submit("maps", {"mood": "waits at the gate"})
    machine.segment(volume, "L5", mood="slow")
    panel.parameters.inputVolume = volume
    click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "T2 waits until the prompt maps are ready."
    (machine.folder / "gate").unlink()
    pump(lambda: panel.ui.statusLabel.text == "Segmenting T2...")
    click(panel.ui.applyButton)
    pump(idle(panel))


def test_second_click_cancels(panel: Any, machine: Machine) -> None:
    machine.segment(make_volume(), "L5")
    click(panel.ui.applyButton)
    click(panel.ui.applyButton)
    pump(idle(panel))
    assert "Cancelled" in panel.ui.statusLabel.text and segmentations() == []


def test_worker_speaks_of_the_volume_and_not_of_a_temporary_file(
    panel: Any, machine: Machine
) -> None:
    volume = make_volume("T2 <b>sag</b>")
    machine.segment(volume, "L5", mood="names its file")
    panel.parameters.inputVolume = volume
    run(panel)
    status = panel.ui.statusLabel
    assert status.text == "5 voxels are not finite: 'T2 <b>sag</b>'. Replace them."
    assert status.textFormat == qt.Qt.PlainText


def test_full_temporary_folder_is_said(
    panel: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.parameters.inputVolume = make_volume()

    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("CPS4SegmentLib.exchange.tempfile.mkdtemp", full)
    click(panel.ui.applyButton)
    status = panel.ui.statusLabel.text
    assert "temporary folder cannot be written (No space left" in status and "Make room" in status
    assert panel.ui.applyButton.text == "Segment" and panel.ui.applyButton.enabled


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_killed_slicer_leaves_its_scan_only_until_the_next_start(panel: Any) -> None:
    """A folder in use stays, of this process and of another."""
    temporary = slicer.app.temporaryPath
    code = f"""
import sys, types
app = types.SimpleNamespace(temporaryPath={temporary!r})
sys.modules["slicer"] = types.SimpleNamespace(app=app)
from CPS4SegmentLib.exchange import ExchangeFolder
folder = ExchangeFolder()
(folder.path / "volume.nrrd").write_text("a scan")
print(folder.path, flush=True)
input()
"""
    paths = [str(MODULE.parent), str(MODULE.parents[1])]
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        theirs, ours = Path(other.stdout.readline().strip()), exchange.ExchangeFolder()
        exchange.remove_left_behind()
        assert (theirs / "volume.nrrd").exists() and ours.path.exists()
        ours.remove()
    finally:
        other.kill()
        other.communicate()
    slicer.util.reloadScriptedModule("CPS4Segment")
    assert not theirs.exists()


def test_scene_saved_and_loaded_keeps_the_choices(
    panel: Any, machine: Machine, tmp_path: Path
) -> None:
    machine.models(MODEL, {**MODEL, "name": "second", "folder": "/models/second"})
    panel.discovery.look_for_models()
    pump(lambda: len(panel.discovery.models) == 2)
    volume = make_volume()
    machine.segment(volume, "L5", "L4")
    choose(panel.ui.modelComboBox, 1)
    run(panel)
    panel.ui.show3DCheckBox.click()
    file = str(tmp_path / "case.mrb")
    assert slicer.util.saveScene(file)
    slicer.mrmlScene.Clear(0)
    assert panel.parameters.model == "" and panel.parameters.inputVolume is None
    slicer.util.loadScene(file)
    slicer.app.processEvents()
    assert panel.parameters.inputVolume.GetName() == "T2" and panel.parameters.model == "second"
    assert names(panel.parameters.segmentation) == {"L5", "L4"}
    assert panel.ui.modelComboBox.currentIndex == 1 and panel.ui.show3DCheckBox.checked
    assert panel.ui.inputSelector.currentNode() is panel.parameters.inputVolume
    assert len(segmentations()) == 1
