"""The whole way of a user, nothing replaced: a volume, the starter model in the real worker, a
prompt map, a painted correction, its study, the saved scene, and a training on that study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import qt
import SimpleITK as sitk
import slicer
import slicer.util
from slicerharness import dialogs
from tiny_study import TINY_OPTIONS
from walkthrough import Walkthrough

from CPS4Core.cli.main import main
from CPS4Core.phantom.make import make_phantom
from CPS4Core.study.folder import Study

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared/data/spider-t2space/imagesTr/spider_045_0000.nii.gz"
BALL_MM = 22.0
"""Radius of the brush: larger than a vertebra, so that painting changes something."""


@pytest.fixture
def volume_file(tmp_path: Path) -> Path:
    """A real scan where there is one on this machine, else a phantom of that size."""
    if REAL.is_file():
        return REAL
    image, _ = make_phantom(7, 512, slices=15, sacrum_visible=True)
    sitk.WriteImage(image, str(tmp_path / "phantom.nii.gz"))
    return tmp_path / "phantom.nii.gz"


def voxels(segmentation, name: str, volume) -> np.ndarray:
    """Where a structure is, on the volume's grid."""
    segment = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) > 0


def test_from_a_scan_to_a_model_that_learned_from_its_correction(
    volume_file, tmp_path, load_module, capsys
) -> None:
    qt.QSettings().remove("CPS4SpineSegment")
    volume = slicer.util.loadVolume(str(volume_file))
    _, widget = load_module(REPOSITORY / "CPS4Segment" / "CPS4Segment.py")
    walk = Walkthrough(widget)

    # Segment: named structures on the volume's own grid, with codes and confidences.
    walk.setup()
    walk.segment(volume)
    names = set(walk.segmentation.GetSegmentation().GetSegmentIDs())
    assert len(names) >= 10
    pixels = slicer.util.arrayFromVolume(volume)
    assert voxels(walk.segmentation, "L4", volume).shape == pixels.shape
    table = walk.ui.structureTable
    assert table.rowCount == len(names)

    # Review: the views jump to what was chosen; a shift renames all, and goes back.
    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    walk.review("L4")
    at_l4 = view.GetSliceOffset()
    walk.review("L2")
    assert view.GetSliceOffset() > at_l4 + 20  # mm; L2 lies above L4
    before = voxels(walk.segmentation, "L4", volume)
    walk.rename("L4", "L3")
    assert (voxels(walk.segmentation, "L3", volume) == before).all()
    walk.click(walk.ui.undoShiftButton)
    assert (voxels(walk.segmentation, "L4", volume) == before).all()

    # Prompt maps: one class over the scan, then a prompt of one's own.
    walk.maps("L4")
    shown = slicer.app.layoutManager().sliceWidget("Yellow").mrmlSliceCompositeNode()
    overlay = slicer.mrmlScene.GetNodeByID(shown.GetForegroundVolumeID())
    assert overlay is not None and overlay.GetAttribute("CPS4.PromptMap") == "L4"
    first = slicer.util.arrayFromVolume(overlay).copy()
    assert first.shape == pixels.shape and first.max() > 0
    walk.click(walk.ui.nextClassButton)
    assert overlay.GetAttribute("CPS4.PromptMap") != "L4"
    assert (slicer.util.arrayFromVolume(overlay) != first).any()
    walk.own_prompt("the fourth lumbar vertebra")
    walk.click(walk.ui.hideMapsButton)
    assert not shown.GetForegroundVolumeID()

    # Correct: paint, undo, paint, submit to a study that does not exist yet.
    walk.paint("L4", BALL_MM)
    painted = voxels(walk.segmentation, "L4", volume)
    assert painted.sum() > 1.2 * before.sum()
    walk.ui.segmentEditor.undo()
    assert voxels(walk.segmentation, "L4", volume).sum() == before.sum()
    walk.paint("L4", BALL_MM)
    study = tmp_path / "study"
    dialogs.answer("Yes")  # make a new study there
    walk.submit(study, "case_001", "A. Radiologist", "L4")
    schema = Study.open(study).schema
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(study / "labelsTr" / "case_001.nii.gz")))
    assert ((label == schema.structures[schema.index_of("L4") - 1].value) == painted).all()
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(study / "imagesTr" / "case_001_0000.nii.gz")))
    assert (image == pixels).all()
    record = (study / "corrections" / "case_001.json").read_text()
    assert "A. Radiologist" in record and "spider-t2-lumbar" in record
    assert str(volume_file.parent) not in record

    # The scene keeps all of it.
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    walk.until(lambda: walk.segmentation is not None, "the scene is there again", 30)
    walk.until(lambda: table.rowCount == len(names), "the table is there again", 30)
    assert (voxels(walk.segmentation, "L4", walk.panel.parameters.inputVolume) == painted).all()

    # A second correction becomes version 2; the first one is kept.
    walk.paint("L2", BALL_MM)
    walk.submit(study, "case_001", "A. Radiologist")
    assert json.loads((study / "corrections" / "case_001.json").read_text())
    assert len(list((study / "corrections").rglob("*.nii.gz"))) == 1
    pid = widget.logic.worker._process.pid
    widget.cleanup()
    assert not Path(f"/proc/{pid}").exists()

    # The core takes it as a labelled case.
    assert main(["study", "check", str(study)]) == 0
    assert Study.open(study).labelled == ["case_001"]
    options = [part for option in TINY_OPTIONS for part in ("--set", option)]
    command = ["train", str(study), "--output", str(tmp_path / "run"), "--preset", "cpu"]
    more = ["--method", "labelled-only", "--device", "cpu", "--set", "phantoms.count=0"]
    assert main([*command, *more, *options]) == 0
    trained = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert [case["id"] for case in trained["provenance"]["labelled"]] == ["case_001"]
