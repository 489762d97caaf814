"""qMRMLNodeComboBox: follows the nodes of the scene.

Its rules are those of the real one, which come from QComboBox: the first node that enters an
empty box is selected, and when the selected node goes, the one before it is.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.plain import Observers, kept


def _refresh(self: Any) -> None:
    self._refresh()


@cpp_class
class qMRMLNodeComboBox(QWidget):  # noqa: N801
    """Chooses a node of the scene. "Create new ..." and its like are left out of the list."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    _validNodeChanged = Signal(bool)
    mrml_signals = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_validNodeChanged",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
    }
    nodeTypes = kept("QStringList", [], _refresh)
    showHidden = kept(bool, False, _refresh)
    showChildNodeTypes = kept(bool, True, _refresh)
    hideChildNodeTypes = kept("QStringList", [], _refresh)
    noneEnabled = kept(bool, False, _refresh)
    noneDisplay = kept(str, "None", _refresh)
    baseName = kept(str, "")
    addEnabled = kept(bool, True)
    removeEnabled = kept(bool, True)
    editEnabled = kept(bool, False)
    renameEnabled = kept(bool, False)
    selectNodeUponCreation = kept(bool, True)
    interactionNodeSingletonTag = kept(str, "")

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._scene: Any = None
        self._observers = Observers(self)
        self._node_observers = Observers(self)
        self._attributes: list[tuple[str, str, str | None]] = []
        self._requested: str | None = None
        self._box = QComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentTextChanged.connect(self._announce)
        self._box.activated.connect(self._on_activated)
        self.setEnabled(False)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._observers.clear()
        self._scene = scene
        if scene:
            for event in (
                slicer.vtkMRMLScene.NodeAddedEvent,
                slicer.vtkMRMLScene.NodeRemovedEvent,
                slicer.vtkMRMLScene.EndBatchProcessEvent,
            ):
                self._observers.add(scene, event, self._refresh)
        self._refresh()
        if self._requested is not None:
            self.setCurrentNodeID(self._requested)
            self._requested = None
        self.setEnabled(scene is not None)

    def currentNode(self) -> Any:
        node_id = self._box.currentData
        return self._scene.GetNodeByID(node_id) if self._scene and node_id else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node else "")

    def _current_id(self) -> str:
        return self._box.currentData or ""

    def setCurrentNodeID(self, node_id: str) -> None:
        """Select a node; none of the list gives "None" or, where that is not allowed, nothing."""
        if self._scene is None:
            self._requested = node_id
            return
        index = self._box.findData(node_id) if node_id else -1
        self._box.setCurrentIndex(0 if index < 0 and self.noneEnabled else index)

    currentNodeID = Property(str, _current_id, setCurrentNodeID)

    def setCurrentNodeIndex(self, index: int) -> None:
        index = index if index < self.nodeCount() else -1
        self._box.setCurrentIndex(index + 1 if self.noneEnabled else index)

    def nodeCount(self) -> int:
        return self._box.count - (1 if self.noneEnabled and self._scene else 0)

    def nodeFromIndex(self, index: int) -> Any:
        node_id = self._box.itemData(index + 1 if self.noneEnabled else index)
        return self._scene.GetNodeByID(node_id) if node_id else None

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        """Show only nodes of this type that have the attribute, with this value if one is given."""
        self._attributes.append((node_type, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [a for a in self._attributes if a[:2] != (node_type, name)]
        self._refresh()

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        """The label stands in menu entries that are left out here."""

    def addNode(self, node_type: str | None = None) -> Any:
        """Create a node of an allowed type, as "Create new ..." does."""
        node_type = node_type or (self.nodeTypes[0] if self.nodeTypes else None)
        if node_type not in self.nodeTypes:
            return None
        name = self.baseName or self._scene.CreateNodeByClass(node_type).GetNodeTagName()
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(name))
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        emit(self, "nodeAddedByUser", node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def _refresh(self) -> None:
        """Bring the list up to date, row by row: QComboBox then keeps or moves the selection."""
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        wanted = self._rows()
        ids = [node_id for node_id, _ in wanted]
        for row in reversed(range(self._box.count)):
            if self._box.itemData(row) not in ids:
                self._box.removeItem(row)
        for row, (node_id, text) in enumerate(wanted):
            if self._box.itemData(row, _ID) != node_id or row >= self._box.count:
                self._box.insertItem(row, text, node_id)
                if node_id:
                    emit(self, "nodeAdded", self._scene.GetNodeByID(node_id))
            elif self._box.itemText(row) != text:
                self._box.setItemText(row, text)
        self._watch()

    def _rows(self) -> list[tuple[str, str]]:
        """(node ID, text) of each row; "None" has the ID ""."""
        if self._scene is None:
            return []
        rows = [(node.GetID(), node.GetName()) for node in self._nodes()]
        return [("", self.noneDisplay), *rows] if self.noneEnabled else rows

    def _nodes(self) -> list[Any]:
        """The nodes that the properties let in, in the order of the scene."""
        types, hidden = self.nodeTypes, self.showHidden
        children, excluded = self.showChildNodeTypes, self.hideChildNodeTypes
        accepted = [
            node
            for node_type in types
            for node in _nodes_of(self._scene, node_type)
            if (hidden or not node.GetHideFromEditors())
            and node.GetClassName() not in excluded
            and (children or node.GetClassName() == node_type)
            and self._has_attributes(node, node_type)
        ]
        if len(types) > 1:
            order = {
                node.GetID(): k for k, node in enumerate(_nodes_of(self._scene, "vtkMRMLNode"))
            }
            accepted = sorted(
                {n.GetID(): n for n in accepted}.values(), key=lambda n: order[n.GetID()]
            )
        return accepted

    def _has_attributes(self, node: Any, node_type: str) -> bool:
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for of_type, name, value in self._attributes
            if of_type == node_type
        )

    def _watch(self) -> None:
        """Notice new names, and attributes by which a node comes in or goes out."""
        self._node_observers.clear()
        for node_type in self.nodeTypes:
            for node in _nodes_of(self._scene, node_type) if self._scene else ():
                self._node_observers.add(node, vtk.vtkCommand.ModifiedEvent, self._on_node_modified)

    def _on_node_modified(self) -> None:
        shown = [(self._box.itemData(k), self._box.itemText(k)) for k in range(self._box.count)]
        if shown != self._rows():
            self._refresh()

    def _on_activated(self) -> None:
        emit(self, "nodeActivated", self.currentNode())

    def _announce(self, _: str) -> None:
        node = self.currentNode()
        emit(self, "currentNodeChanged", node)
        emit(self, "_validNodeChanged", node is not None)
        emit(self, "currentNodeIDChanged", node.GetID() if node else "")


def _nodes_of(scene: Any, class_name: str) -> list[Any]:
    collection = scene.GetNodesByClass(class_name)
    collection.UnRegister(None)
    return [collection.GetItemAsObject(k) for k in range(collection.GetNumberOfItems())]


_ID = Qt.ItemDataRole.UserRole
