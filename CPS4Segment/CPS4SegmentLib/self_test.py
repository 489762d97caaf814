"""The module's self-test, to be run inside Slicer on a made-up spine."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from CPS4Core.schema import built_in_schema
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.fingerprint import was_corrected
from CPS4SegmentLib.geometry import RAS_TO_LPS, to_numpy
from CPS4SegmentLib.jump import center
from CPS4SegmentLib.panel_user import MINUTES, PanelUser
from CPS4SegmentLib.requirements import Requirements, describe
from CPS4SegmentLib.result_record import segments
from CPS4SegmentLib.scene_choice import volume_of
from CPS4SegmentLib.volume_export import PROMPT_MAP

LABELS = "mrspineseg"
"""Schema of the made-up spine's true labels."""
NEAR_MM = 12.0
"""How far a found vertebra's middle may lie from the true one's: less than half its height."""


class SelfTest(ScriptedLoadableModuleTest):
    """Each test begins with an empty scene; what the user has set on this machine is put back."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        slicer.util.getModuleGui("CPS4Segment")  # makes the panel
        self.widget = slicer.modules.CPS4SegmentWidget
        self.panel = self.widget.panel
        self.settings = self.panel.settings.study_folder, self.panel.settings.author
        self.folder = Path(tempfile.mkdtemp(dir=slicer.app.temporaryPath))

    def tearDown(self) -> None:
        vars(self.panel).pop("ask", None)
        self.panel.ui.studyPath.currentPath, author = self.settings
        self.panel.ui.authorEdit.setText(author)
        self.panel.worker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def runTest(self) -> None:
        """Run all tests, as the button "Reload and Test" does."""
        for name in sorted(n for n in dir(self) if n.startswith("test_")):
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as reason:
                self.delayDisplay(f"Left out: {reason}")
            finally:
                self.tearDown()
        self.delayDisplay("All tests of CPS4 Spine Segment passed")

    def test_panel_says_what_is_missing(self) -> None:
        self.panel.changed()
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertTrue(self.panel.ui.applyButton.toolTip)
        volume, _ = self.phantom()
        self.panel.parameters.inputVolume = volume
        self.assertEqual(self.panel.ui.inputSelector.currentNode().GetID(), volume.GetID())
        self.delayDisplay("The panel follows its parameters")

    def test_logic_segments_where_the_spine_lies(self) -> None:
        """Without the panel, on a volume that a transform has turned and moved."""
        self.need_packages()
        from CPS4Segment import CPS4SegmentLogic

        volume, middles = self.phantom()
        turned = self.turn(volume)
        events: list[dict[str, Any]] = []
        logic = CPS4SegmentLogic()
        try:
            segmentation = logic.segment(volume, on_event=events.append, timeout=60 * MINUTES)
        finally:
            logic.close()
        names = {segment.GetName(): i for i, segment in segments(segmentation).items()}
        self.assertTrue({"L5", "L4", "L4/L5"} <= set(names), names)
        for name in ("L5", "L4"):
            found = center(segmentation, names[name])
            true = (turned @ [*middles[name], 1])[:3]
            self.assertLess(np.linalg.norm(found - true), NEAR_MM, name)
        self.assertIs(volume_of(segmentation), volume)
        self.assertFalse(was_corrected(segmentation))
        self.assertIn("step", {event["event"] for event in events})
        self.assertFalse(logic.worker.running)
        self.delayDisplay(f"Found {', '.join(names)} under a transform")

    def test_panel_from_the_scan_to_a_submitted_correction(self) -> None:
        self.need_packages()
        volume, _ = self.phantom()
        user = PanelUser(self.widget)
        user.setup()
        user.segment(volume)
        names = {segment.GetName() for segment in segments(user.segmentation).values()}
        self.assertEqual(user.ui.structureTable.rowCount, len(names))
        self.delayDisplay(f"Segmented: {len(names)} structures")

        user.review("L4")
        low = self.shown_heights()
        user.review("L2")
        for below, above in zip(low, self.shown_heights(), strict=True):
            self.assertGreater(above, below + 20)  # mm
        before = self.voxels(user.segmentation, "L4", volume)
        user.rename("L4", "L3")
        self.assertTrue((self.voxels(user.segmentation, "L3", volume) == before).all())
        user.click(user.ui.undoShiftButton)
        self.assertTrue((self.voxels(user.segmentation, "L4", volume) == before).all())
        self.delayDisplay("The views jump, and the levels move and come back")

        user.maps("L4")
        self.assertEqual({*self.shown_maps(), "L4"}, {"L4"})
        user.click(user.ui.nextClassButton)
        self.assertNotIn("L4", self.shown_maps())
        user.own_prompt("the fourth lumbar vertebra")
        user.click(user.ui.hideMapsButton)
        self.assertFalse(any(self.shown_maps()))
        self.delayDisplay("Prompt maps are shown and hidden")

        painted = self.grow(user.segmentation, "L4", volume)
        self.assertGreater(painted.sum(), before.sum())
        self.assertTrue(was_corrected(user.segmentation))
        self.panel.ask = lambda question: True  # to make a study there
        user.submit(self.folder / "study", "case_001", "Self-test", "L4")
        self.check_study(self.folder / "study", user.segmentation, painted)
        self.delayDisplay("The correction is in the study")

        self.assertTrue(slicer.util.saveScene(str(self.folder / "scene.mrb")))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        user.until(lambda: user.segmentation is not None, "the scene is there again", 60)
        volume = self.panel.parameters.inputVolume
        self.assertTrue((self.voxels(user.segmentation, "L4", volume) == painted).all())
        user.until(lambda: user.ui.structureTable.rowCount == len(names), "the table is back", 60)
        self.delayDisplay("The saved scene holds all of it")

    def need_packages(self) -> None:
        """Leave the test out where the worker cannot compute."""
        lacking = Requirements().check()
        if lacking:
            raise unittest.SkipTest(f"packages are not installed. {describe(lacking)}")

    def phantom(self) -> tuple[Any, dict[str, np.ndarray]]:
        """A made-up sagittal spine MRI in the scene, and the middles of its structures (RAS)."""
        from CPS4Core.phantom.make import make_phantom

        image, truth = make_phantom(3, 256, slices=12, schema=LABELS, sacrum_visible=True)
        path = os.path.join(self.folder, "phantom.nrrd")
        sitk.WriteImage(image, path)
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(truth)
        middles = {
            s.name: RAS_TO_LPS[:3, :3] @ shape.GetCentroid(s.value)
            for s in built_in_schema(LABELS).structures
            if shape.HasLabel(s.value)
        }
        return slicer.util.loadVolume(path), middles

    def turn(self, volume: Any) -> np.ndarray:
        """Put a volume under a transform; returns its matrix [4, 4]."""
        transform = vtk.vtkTransform()
        transform.Translate(20, -35, 50)
        transform.RotateX(12)
        transform.RotateZ(-8)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(transform.GetMatrix())
        volume.SetAndObserveTransformNodeID(node.GetID())
        return to_numpy(transform.GetMatrix())

    def voxels(self, segmentation: Any, name: str, volume: Any) -> np.ndarray:
        """Where a structure is, on the volume's grid."""
        segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0

    def grow(self, segmentation: Any, name: str, volume: Any) -> np.ndarray:
        """Paint a rim of voxels round a structure, where no other is; returns what it is now."""
        own = self.voxels(segmentation, name, volume)
        larger = own.copy()
        for axis in (1, 2):  # within the slices
            larger |= np.roll(own, 1, axis) | np.roll(own, -1, axis)
        for segment in segments(segmentation).values():
            if segment.GetName() != name:
                larger &= ~self.voxels(segmentation, segment.GetName(), volume)
        segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            larger.astype(np.uint8), segmentation, segment_id, volume
        )
        return larger

    def shown_heights(self) -> list[float]:
        """How high (mm) the middles of the slice views lie; none where there is no window."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
        return [node.GetSliceToRAS().GetElement(2, 3) for node in nodes]

    def shown_maps(self) -> list[str | None]:
        """The prompt map that lies over the scan, for each slice view."""
        views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        shown = (slicer.mrmlScene.GetNodeByID(v.GetForegroundVolumeID() or "") for v in views)
        return [node.GetAttribute(PROMPT_MAP) if node else None for node in shown]

    def check_study(self, study: Path, segmentation: Any, painted: np.ndarray) -> None:
        """The study has the painted label in its own values, and says who painted it."""
        label = sitk.GetArrayFromImage(sitk.ReadImage(str(study / "labelsTr/case_001.nii.gz")))
        schema = schema_of(segmentation)
        value = schema.structures[schema.index_of("L4") - 1].value
        self.assertTrue(((label == value) == painted).all())
        self.assertTrue((study / "imagesTr/case_001_0000.nii.gz").is_file())
        record = (study / "corrections/case_001.json").read_text(encoding="utf-8")
        self.assertIn("Self-test", record)
        self.assertNotIn(json.dumps(str(self.folder))[1:-1], record)
