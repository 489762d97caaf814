"""The environment itself starts and has what scripts look for first."""

from __future__ import annotations

import pytest
import qt
import slicer


def test_the_scene_is_real_and_empty() -> None:
    assert slicer.mrmlScene.GetClassName() == "vtkMRMLScene"
    assert not slicer.util.getNodesByClass("vtkMRMLVolumeNode")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "spine")
    assert slicer.util.getNode("spine") is node


def test_a_main_window_and_views_are_there() -> None:
    assert slicer.util.mainWindow() is not None
    assert slicer.app.layoutManager().sliceViewNames() == ("Red", "Yellow", "Green")


def test_modules_have_their_logics() -> None:
    logic = slicer.modules.segmentations.logic()
    assert logic.GetClassName() == "vtkSlicerSegmentationsModuleLogic"
    with pytest.raises(AttributeError, match="no 'notthere'"):
        _ = slicer.modules.notthere


def test_settings_are_kept_apart_from_the_user() -> None:
    slicer.app.settings().setValue("CPS4/test", "value")
    assert qt.QSettings().value("CPS4/test") == "value"
    assert slicer.app.temporaryPath in qt.QSettings().fileName()
