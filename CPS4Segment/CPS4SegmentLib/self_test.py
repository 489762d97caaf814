"""The module's self-test, to be run inside Slicer on a made-up spine."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import slicer
import slicer.util
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from CPS4SegmentLib.fingerprint import was_corrected
from CPS4SegmentLib.requirements import Requirements, describe
from CPS4SegmentLib.scene_choice import volume_of

MINUTES = 10
"""How long the worker may take for one volume, on the slowest machine."""


class SelfTest(ScriptedLoadableModuleTest):
    """Each test begins with an empty scene."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests, as the button "Reload and Test" does."""
        for name in sorted(n for n in dir(self) if n.startswith("test_")):
            self.setUp()
            getattr(self, name)()
        self.delayDisplay("All tests of CPS4 Spine Segment passed")

    def test_panel_says_what_is_missing(self) -> None:
        slicer.util.getModuleGui("CPS4Segment")
        panel = slicer.modules.CPS4SegmentWidget.panel
        panel.changed()
        self.assertFalse(panel.ui.applyButton.enabled)
        self.assertTrue(panel.ui.applyButton.toolTip)
        volume = self.phantom()
        panel.parameters.inputVolume = volume
        self.assertEqual(panel.ui.inputSelector.currentNode().GetID(), volume.GetID())
        self.delayDisplay("The panel follows its parameters")

    def test_logic_segments_and_names(self) -> None:
        lacking = Requirements().check()
        if lacking:
            self.delayDisplay(f"Left out, since packages are not installed. {describe(lacking)}")
            return
        from CPS4Segment import CPS4SegmentLogic

        volume = self.phantom()
        events: list[dict[str, Any]] = []
        logic = CPS4SegmentLogic()
        try:
            segmentation = logic.segment(volume, on_event=events.append, timeout=60 * MINUTES)
        finally:
            logic.close()
        contents = segmentation.GetSegmentation()
        names = {contents.GetSegment(i).GetName() for i in contents.GetSegmentIDs()}
        self.assertTrue({"L5", "L4", "L4/L5"} <= names, names)
        self.assertIs(volume_of(segmentation), volume)
        self.assertFalse(was_corrected(segmentation))
        self.assertIn("step", {event["event"] for event in events})
        self.assertFalse(logic.worker.running)
        self.delayDisplay(f"Found {', '.join(sorted(names))}")

    def phantom(self) -> Any:
        """A made-up sagittal spine MRI in the scene."""
        import SimpleITK as sitk

        from CPS4Core.phantom.make import make_phantom

        image, _ = make_phantom(3, 256, slices=12, sacrum_visible=True)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = os.path.join(folder, "phantom.nrrd")
            sitk.WriteImage(image, path)
            return slicer.util.loadVolume(path, {"show": False})
