"""qMRMLSegmentEditorWidget over the real vtkSlicerSegmentEditorLogic, with its undo history.

The effects are names and parameters only: painting.py changes segments through the same logic
as an effect does.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
)

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.mrml_widget import qMRMLWidget
from slicerharness.widgets.node_combo_box import qMRMLNodeComboBox
from slicerharness.widgets.plain import Observers, kept
from slicerharness.widgets.segment_effect import (
    EFFECTS,
    EffectsBox,
    qSlicerSegmentEditorAbstractEffect,
)
from slicerharness.widgets.segments_table import qMRMLSegmentsTableView


def _row_visible(row: str) -> Any:
    def read(self: Any) -> bool:
        return not getattr(self, row).isHidden()

    def write(self: Any, visible: bool) -> None:
        self._form.setRowVisible(getattr(self, row), visible)

    return Property(bool, read, write)


@cpp_class
class qMRMLSegmentEditorWidget(qMRMLWidget):  # noqa: N801
    """Selectors, segments, effect buttons, undo and redo."""

    currentSegmentIDChanged = Signal(str)
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    mrml_signals = {
        **qMRMLWidget.mrml_signals,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged",
    }
    segmentationNodeSelectorVisible = _row_visible("_segmentations")
    sourceVolumeNodeSelectorVisible = _row_visible("_volumes")
    switchToSegmentationsButtonVisible = kept(bool, True)
    autoShowSourceVolumeNode = kept(bool, True)
    undoEnabled = kept(bool, True, lambda self: self._show_undo())
    readOnly = kept(bool, False, lambda self: self._effects.setEnabled(not self.readOnly))
    effectColumnCount = kept(int, 2, lambda self: self.updateEffectList())
    unorderedEffectsVisible = kept(bool, True, lambda self: self.updateEffectList())
    jumpToSelectedSegmentEnabled = kept(bool, False)
    defaultTerminologyEntry = kept(str, "")
    defaultTerminologyEntrySettingsKey = kept(str, "Segmentations/DefaultTerminologyEntry")

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._all_effects = {name: qSlicerSegmentEditorAbstractEffect(name) for name in EFFECTS}
        self._order: list[str] = []
        self._active: qSlicerSegmentEditorAbstractEffect | None = None
        self._node_observer, self._history_observer = Observers(self), Observers(self)
        self._shown: tuple[Any, Any] = (None, None)
        self._build()
        self._history_observer.add(
            self._logic, self._logic.SegmentationHistoryChangedEvent, self._show_undo
        )
        self.updateEffectList()
        self._show_undo()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._form = QFormLayout()
        layout.addLayout(self._form)
        self._segmentations = self._selector("Segmentation:", "vtkMRMLSegmentationNode")
        self._volumes = self._selector("Source volume:", "vtkMRMLScalarVolumeNode")
        self._segmentations.currentNodeChanged.connect(self.setSegmentationNode)
        self._volumes.currentNodeChanged.connect(self.setSourceVolumeNode)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        for text, function in (("Add", self._add), ("Remove", self._remove)):
            button = QPushButton(text, self)
            button.clicked.connect(function)
            buttons.addWidget(button)
        self._table = qMRMLSegmentsTableView(self)
        self._table.setMinimumHeight(140)
        layout.addWidget(self._table)
        self._table.selectionChanged.connect(self._on_selection)
        self._effects = EffectsBox(self)
        self._effects.chosen.connect(self.setActiveEffectByName)
        layout.addWidget(self._effects)
        row = QHBoxLayout()
        layout.addLayout(row)
        self._undo_button, self._redo_button = QPushButton("Undo"), QPushButton("Redo")
        for button, function in ((self._undo_button, self.undo), (self._redo_button, self.redo)):
            button.clicked.connect(function)
            row.addWidget(button)

    def _selector(self, label: str, node_type: str) -> qMRMLNodeComboBox:
        box = qMRMLNodeComboBox(self)
        box.nodeTypes = [node_type]
        box.noneEnabled = True
        self._form.addRow(label, box)
        return box

    def setMRMLScene(self, scene: Any) -> None:
        self._logic.SetMRMLScene(scene)
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        super().setMRMLScene(scene)
        self._segmentations.setMRMLScene(scene)
        self._volumes.setMRMLScene(scene)
        self._table.setMRMLScene(scene)
        self.updateWidgetFromMRML()

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node_observer.clear()
        self._logic.SetSegmentEditorNode(node)
        if node:
            self._node_observer.add(node, vtk.vtkCommand.ModifiedEvent, self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._logic.GetSegmentEditorNode()

    def segmentationNode(self) -> Any:
        node = self.mrmlSegmentEditorNode()
        return node.GetSegmentationNode() if node else None

    def segmentationNodeID(self) -> str:
        node = self.segmentationNode()
        return node.GetID() if node else ""

    def setSegmentationNode(self, segmentation: Any) -> None:
        node = self.mrmlSegmentEditorNode()
        if node and node.GetSegmentationNode() is not segmentation:
            self._logic.SetSegmentationNode(segmentation)
            self.updateWidgetFromMRML()

    def setSegmentationNodeID(self, node_id: str) -> None:
        self.setSegmentationNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def sourceVolumeNode(self) -> Any:
        node = self.mrmlSegmentEditorNode()
        return node.GetSourceVolumeNode() if node else None

    def sourceVolumeNodeID(self) -> str:
        node = self.sourceVolumeNode()
        return node.GetID() if node else ""

    def setSourceVolumeNode(self, volume: Any) -> None:
        node = self.mrmlSegmentEditorNode()
        if node and node.GetSourceVolumeNode() is not volume:
            self._logic.SetSourceVolumeNode(volume)
            self.updateWidgetFromMRML()

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        self.setSourceVolumeNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def currentSegmentID(self) -> str:
        node = self.mrmlSegmentEditorNode()
        return (node.GetSelectedSegmentID() or "") if node else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        node = self.mrmlSegmentEditorNode()
        if node and segment_id != self.currentSegmentID():
            node.SetSelectedSegmentID(segment_id)
            self._table.setSelectedSegmentIDs([segment_id])
            emit(self, "currentSegmentIDChanged", segment_id)

    def updateWidgetFromMRML(self) -> None:
        """Show what the parameter node says."""
        segmentation, volume = self.segmentationNode(), self.sourceVolumeNode()
        before, self._shown = self._shown, (segmentation, volume)
        if segmentation is not before[0]:
            self._table.setSegmentationNode(segmentation)
            self._segmentations.setCurrentNode(segmentation)
            ids = segmentation.GetSegmentation().GetSegmentIDs() if segmentation else ()
            if ids and self.currentSegmentID() not in ids:
                self.setCurrentSegmentID(ids[0])
            emit(self, "segmentationNodeChanged", segmentation)
        if volume is not before[1]:
            self._volumes.setCurrentNode(volume)
            emit(self, "sourceVolumeNodeChanged", volume)
        self._effects.setEnabled(bool(segmentation and volume) and not self.readOnly)
        self._show_undo()

    def availableEffectNames(self) -> tuple[str, ...]:
        return tuple(EFFECTS)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._order = list(names)
        self.updateEffectList()

    def effectNameOrder(self) -> tuple[str, ...]:
        return tuple(self._order)

    def effectByName(self, name: str) -> qSlicerSegmentEditorAbstractEffect | None:
        return self._all_effects.get(name)

    def effectCount(self) -> int:
        return len(self._shown_effects())

    def effectByIndex(self, index: int) -> qSlicerSegmentEditorAbstractEffect:
        return self._all_effects[self._shown_effects()[index]]

    def activeEffect(self) -> qSlicerSegmentEditorAbstractEffect | None:
        return self._active

    def setActiveEffect(self, effect: qSlicerSegmentEditorAbstractEffect | None) -> None:
        self._active = effect
        node = self.mrmlSegmentEditorNode()
        if node:
            node.SetActiveEffectName(effect.name if effect else "")
        self._effects.check(effect.name if effect else "")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self._all_effects.get(name))

    def updateEffectList(self) -> None:
        """Make the effect buttons anew."""
        self._effects.show_effects(self._shown_effects(), self.effectColumnCount)

    def _shown_effects(self) -> list[str]:
        others = [name for name in EFFECTS if name not in self._order]
        known = [name for name in self._order if name in EFFECTS]
        return known + (others if self.unorderedEffectsVisible else [])

    def _maximum(self) -> int:
        return self._logic.GetMaximumNumberOfUndoStates()

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = Property(int, _maximum, setMaximumNumberOfUndoStates)

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def setupViewObservations(self) -> None:
        """Mouse events do not reach effects here."""

    def removeViewObservations(self) -> None:
        """Mouse events do not reach effects here."""

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        """The effects' shortcuts are not made here."""

    def uninstallKeyboardShortcuts(self) -> None:
        """The effects' shortcuts are not made here."""

    def turnOffLightboxes(self) -> bool:
        return False

    def _show_undo(self) -> None:
        for button in (self._undo_button, self._redo_button):
            button.setVisible(self.undoEnabled)
        self._undo_button.setEnabled(self._logic.CanUndo())
        self._redo_button.setEnabled(self._logic.CanRedo())

    def _on_selection(self, *_: Any) -> None:
        for segment_id in self._table.selectedSegmentIDs()[:1]:
            self.setCurrentSegmentID(segment_id)

    def _add(self) -> None:
        if self.segmentationNode():
            self._logic.SaveStateForUndo()
            self.setCurrentSegmentID(self._logic.AddEmptySegment())

    def _remove(self) -> None:
        if self.currentSegmentID():
            self._logic.SaveStateForUndo()
            self._logic.RemoveSelectedSegment()
