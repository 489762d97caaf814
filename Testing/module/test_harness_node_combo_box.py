"""qMRMLNodeComboBox follows the scene as the real one does."""

from __future__ import annotations

from typing import Any

import pytest
import slicer


def add(name: str, node_class: str = "vtkMRMLScalarVolumeNode") -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(node_class, name)


def combo_box(none: bool = False) -> tuple[Any, list[str]]:
    """A box on the scene, and the names of the nodes that it announced ("-" for none)."""
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.noneEnabled = none
    box.setMRMLScene(slicer.mrmlScene)
    seen: list[str] = []
    box.connect(
        "currentNodeChanged(vtkMRMLNode*)",
        lambda node: seen.append(node.GetName() if node else "-"),
    )
    return box, seen


def test_it_is_disabled_without_a_scene() -> None:
    assert not slicer.qMRMLNodeComboBox().enabled


def test_the_first_node_is_selected_when_none_is_not_allowed() -> None:
    box, seen = combo_box()
    assert box.currentNode() is None
    add("T2")
    add("T1")
    assert box.currentNode().GetName() == "T2" and box.nodeCount() == 2
    assert seen == ["T2"]


def test_nothing_is_selected_by_itself_when_none_is_allowed() -> None:
    box, seen = combo_box(none=True)
    node = add("T2")
    assert box.currentNode() is None
    box.setCurrentNode(node)
    box.setCurrentNodeID("")
    assert box.currentNode() is None and box.findChild("QComboBox").currentText == "None"
    assert seen == ["T2", "-"]


def test_a_removed_node_gives_way() -> None:
    box, seen = combo_box()
    first, second = add("T2"), add("T1")
    box.setCurrentNode(second)
    slicer.mrmlScene.RemoveNode(second)
    assert box.currentNode() is first
    slicer.mrmlScene.RemoveNode(first)
    assert box.currentNode() is None and box.currentNodeID == ""
    assert seen == ["T2", "T1", "T2", "-"]


def test_closing_the_scene_empties_it() -> None:
    box, seen = combo_box()
    add("T2")
    slicer.mrmlScene.Clear(0)
    assert box.nodeCount() == 0 and seen == ["T2", "-"]


@pytest.mark.parametrize(
    ("node_class", "children", "shown"),
    [
        ("vtkMRMLScalarVolumeNode", False, True),
        ("vtkMRMLLabelMapVolumeNode", True, True),  # derived from the scalar volume
        ("vtkMRMLLabelMapVolumeNode", False, False),
        ("vtkMRMLModelNode", True, False),
    ],
)
def test_only_nodes_of_the_types_are_shown(node_class: str, children: bool, shown: bool) -> None:
    box, _ = combo_box()
    box.showChildNodeTypes = children
    add("node", node_class)
    assert box.nodeCount() == (1 if shown else 0)


def names(box: Any) -> list[str]:
    return [box.nodeFromIndex(k).GetName() for k in range(box.nodeCount())]


def test_hidden_nodes_are_left_out() -> None:
    box, _ = combo_box()
    add("shown")
    node = add("hidden")
    node.SetHideFromEditors(True)
    node.Modified()
    assert names(box) == ["shown"]
    box.showHidden = True
    assert names(box) == ["shown", "hidden"]


def test_nodes_without_the_attribute_are_left_out() -> None:
    box, _ = combo_box()
    add("plain")
    wanted = add("wanted")
    box.addAttribute("vtkMRMLScalarVolumeNode", "CPS4.PromptMap")
    assert names(box) == []
    wanted.SetAttribute("CPS4.PromptMap", "L5")
    assert names(box) == ["wanted"]


def test_a_renamed_node_is_announced_again() -> None:
    box, seen = combo_box()
    add("T2").SetName("T2 sagittal")
    assert seen == ["T2", "T2 sagittal"]
