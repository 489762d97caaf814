"""The module with its real worker and the starter model; the logic without a panel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import qt
import SimpleITK as sitk
import slicer
from machine import MODULE, Machine, choose, click, make_volume, pump
from segment_panel import (
    idle,
    living,
    made_up_machine,
    names,
    segmentations,
    temporary_files,
)

from CPS4Core.phantom.make import make_phantom


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from made_up_machine(tmp_path, monkeypatch)


def test_starter_model_through_the_real_worker(load_module: Any, tmp_path: Path) -> None:
    """From the volume to named segments, with nothing made up but the spine; then once more."""
    qt.QSettings().remove("CPS4SpineSegment")
    image, _ = make_phantom(3, 256, slices=12, sacrum_visible=True)
    sitk.WriteImage(image, str(tmp_path / "spine.nrrd"))
    volume = slicer.util.loadVolume(str(tmp_path / "spine.nrrd"), {"show": False})
    widget = load_module(MODULE)[1]
    widget.parent.show()
    widget.enter()
    panel = widget.panel
    pump(lambda: not panel.discovery.looking, 120)
    assert panel.ui.modelComboBox.currentText == "spider-t2-lumbar", panel.ui.statusLabel.text
    assert "CC BY 4.0" in panel.ui.modelDetailLabel.text
    assert panel.ui.setupCollapsibleButton.text.startswith("Setup: ready")
    choose(panel.ui.deviceComboBox, panel.ui.deviceComboBox.findData("cpu"))
    seen = []
    panel.ui.progressBar.connect("valueChanged(int)", seen.append)
    click(panel.ui.applyButton)
    pump(idle(panel), 180)
    segmentation = panel.parameters.segmentation
    assert segmentation is not None, panel.ui.statusLabel.text
    assert {"S", "L5", "L4", "L5/S", "L4/L5"} <= names(segmentation)
    assert max(seen) >= 12, "each slice is counted"
    contents = segmentation.GetSegmentation()
    sacrum = contents.GetSegmentIdBySegmentName("S")
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, sacrum, volume)
    assert voxels.shape == slicer.util.arrayFromVolume(volume).shape and voxels.sum() > 500
    pid = panel.worker._process.pid
    click(panel.ui.applyButton)
    pump(idle(panel), 180)
    assert panel.worker._process.pid == pid and len(segmentations()) == 1
    widget.cleanup()
    assert not Path(f"/proc/{pid}").exists() and temporary_files() == []


def test_modules_own_self_test_passes(load_module: Any) -> None:
    load_module(MODULE)
    slicer.modules.CPS4SegmentInstance.runTest()


def test_logic_segments_without_a_panel(machine: Machine, load_module: Any) -> None:
    module = load_module(MODULE)[0]
    volume = make_volume()
    machine.segment(volume, "L5")
    logic, events = module.CPS4SegmentLogic(), []
    try:
        segmentation = logic.segment(volume, on_event=events.append)
        assert names(segmentation) == {"L5"} and temporary_files() == []
        machine.segment(volume, "L5", mood="fails")
        with pytest.raises(Exception, match="The volume is too small"):
            logic.segment(volume)
    finally:
        logic.close()
    assert temporary_files() == []
    assert living(machine) == []
