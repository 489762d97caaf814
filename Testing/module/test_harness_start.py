"""The environment itself starts and has what scripts look for first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


def test_data_nodes_have_a_place_in_the_subject_hierarchy(tmp_path: Path) -> None:
    def find(name: str) -> str:
        """The name of the item above the node's."""
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = tree.GetItemByDataNode(slicer.util.getNode(name))
        return tree.GetItemName(tree.GetItemParent(item)) if item else ""

    volume = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="T2")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")
    assert find("T2") == "Scene" and find("parameters") == ""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "Spine study")
    tree.SetItemParent(tree.GetItemByDataNode(volume), study)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert find("T2") == "Spine study"


def test_the_application_tells_its_name_and_version() -> None:
    assert slicer.app.applicationName == "Slicer"
    assert (slicer.app.majorVersion, slicer.app.minorVersion) >= (5, 10)


def test_settings_are_kept_apart_from_the_user() -> None:
    slicer.app.settings().setValue("CPS4/test", "value")
    assert qt.QSettings().value("CPS4/test") == "value"
    assert slicer.app.temporaryPath in qt.QSettings().fileName()
