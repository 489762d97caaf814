"""The panel with a made-up machine behind it, for the tests of its section Segment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from machine import MODULE, Machine, click, pump


def made_up_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine on which all packages are there, with settings of its own."""
    qt.QSettings().remove("CPS4SpineSegment")
    made = Machine(folder)
    monkeypatch.setattr("CPS4SegmentLib.worker_client.worker_command", lambda: made.command)
    monkeypatch.setattr("CPS4SegmentLib.requirements.missing_requirements", lambda broken=(): [])
    yield made
    qt.QSettings().remove("CPS4SpineSegment")


def opened_panel(machine: Machine, load_module: Any) -> Iterator[Any]:
    """The opened panel, which knows its models; no process and no file may be left behind."""
    widget = load_module(MODULE)[1]
    widget.parent.show()
    widget.enter()
    pump(lambda: not widget.panel.discovery.looking)
    yield widget.panel
    slicer.modules.CPS4SegmentWidget.cleanup()
    assert living(machine) == []
    assert temporary_files() == []


def living(machine: Machine) -> list[int]:
    """Workers that are still there, if only as a zombie."""
    return [pid for pid in machine.pids() if Path(f"/proc/{pid}").exists()]


def temporary_files() -> list[str]:
    return [name for name in os.listdir(slicer.app.temporaryPath) if name.startswith("CPS4-")]


def idle(panel: Any) -> Callable[[], bool]:
    return lambda: panel.ui.applyButton.text == "Segment"


def names(segmentation: Any) -> set[str]:
    contents = segmentation.GetSegmentation()
    return {contents.GetSegment(i).GetName() for i in contents.GetSegmentIDs()}


def segmentations() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def run(panel: Any) -> Any:
    """Press the button and wait for the end; returns the chosen segmentation."""
    click(panel.ui.applyButton)
    pump(idle(panel))
    return panel.parameters.segmentation


def log(panel: Any) -> str:
    return panel.ui.logTextEdit.toPlainText()


def paint(segmentation: Any, volume: Any) -> None:
    """Add a voxel to the first segment."""
    segment_id = segmentation.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume)
    voxels[4, 35, 20] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, segment_id, volume)
