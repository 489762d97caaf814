"""Every data node gets an item in the subject hierarchy, as Slicer's Qt plugins see to.

The node itself is real; only this part of it lives in Qt. Items of single segments are left out.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

DATA_NODES = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
)


def follow(scene: Any) -> None:
    """Make items for the nodes that come into the scene from now on."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(caller: Any, event: str, node: Any) -> None:
        if not scene.IsBatchProcessing():
            _add(scene, node)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_added)
    scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, lambda *_: _add_all(scene))


def _add_all(scene: Any) -> None:
    """A scene without an own hierarchy was loaded, or an old one."""
    for index in range(scene.GetNumberOfNodes()):
        _add(scene, scene.GetNthNode(index))


def _add(scene: Any, node: Any) -> None:
    if node.GetHideFromEditors() or not any(node.IsA(name) for name in DATA_NODES):
        return
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if not tree.GetItemByDataNode(node):
        tree.CreateItem(tree.GetSceneItemID(), node)
