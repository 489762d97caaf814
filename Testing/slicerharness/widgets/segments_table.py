"""qMRMLSegmentsTableView: the segments of a segmentation in a table."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, QItemSelection, Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.mrml_widget import qMRMLWidget
from slicerharness.widgets.plain import Observers, kept

_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


@cpp_class
class qMRMLSegmentsTableView(qMRMLWidget):  # noqa: N801
    """Visibility, colour and name of each segment; rows can be selected."""

    selectionChanged = Signal(QItemSelection, QItemSelection)
    segmentAboutToBeModified = Signal(str)
    headerVisible = kept(bool, True, lambda self: self._apply())
    visibilityColumnVisible = kept(bool, True, lambda self: self._apply())
    colorColumnVisible = kept(bool, True, lambda self: self._apply())
    opacityColumnVisible = kept(bool, True)
    statusColumnVisible = kept(bool, False)
    layerColumnVisible = kept(bool, False)
    filterBarVisible = kept(bool, False)
    readOnly = kept(bool, False)
    textFilter = kept(str, "", lambda self: self._refresh())
    jumpToSelectedSegmentEnabled = kept(bool, False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._hidden: list[str] = []
        self._observers = Observers()
        self._table = QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["Visible", "Colour", "Name"])
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self._table.horizontalHeader()
        header.setStretchLastSection(True)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(
            lambda selected, deselected: emit(self, "selectionChanged", selected, deselected)
        )

    def tableWidget(self) -> QTableWidget:
        return self._table

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._observers.clear()
        self._node = node
        if node:
            for event in _EVENTS:
                self._observers.add(
                    node.GetSegmentation(),
                    getattr(slicer.vtkSegmentation, event),
                    lambda *_: self._refresh(),
                )
            self._observers.add(
                node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, lambda *_: self._refresh()
            )
        self._refresh()

    @Property(int)
    def segmentCount(self) -> int:
        return len(self._ids)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = {index.row() for index in self._table.selectionModel().selectedRows()}
        return tuple(self._ids[row] for row in sorted(rows))

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        for segment_id in ids:
            if segment_id in self._ids:
                self._table.selectRow(self._ids.index(segment_id))

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._ids)

    def setHideSegments(self, ids: list[str]) -> None:
        self._hidden = list(ids)
        self._refresh()

    def hideSegments(self) -> tuple[str, ...]:
        return tuple(self._hidden)

    def rowForSegmentID(self, segment_id: str) -> int:
        return self._ids.index(segment_id) if segment_id in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row] if 0 <= row < len(self._ids) else ""

    def setSelectionMode(self, mode: int) -> None:
        self._table.setSelectionMode(QAbstractItemView.SelectionMode(mode))

    def _apply(self) -> None:
        self._table.horizontalHeader().setVisible(self.headerVisible)
        self._table.setColumnHidden(0, not self.visibilityColumnVisible)
        self._table.setColumnHidden(1, not self.colorColumnVisible)

    def _refresh(self) -> None:
        selected = self.selectedSegmentIDs() if self._ids else ()
        segmentation = self._node.GetSegmentation() if self._node else None
        ids = list(segmentation.GetSegmentIDs()) if segmentation else []
        self._ids = [
            segment_id
            for segment_id in ids
            if segment_id not in self._hidden
            and self.textFilter.lower() in segmentation.GetSegment(segment_id).GetName().lower()
        ]
        self._table.setRowCount(len(self._ids))
        for row, segment_id in enumerate(self._ids):
            self._fill(row, segment_id, segmentation.GetSegment(segment_id))
        if selected != self.selectedSegmentIDs():
            self.setSelectedSegmentIDs(list(selected))

    def _fill(self, row: int, segment_id: str, segment: Any) -> None:
        display = self._node.GetDisplayNode()
        visible = display is None or display.GetSegmentVisibility(segment_id)
        cells = [
            QTableWidgetItem(text) for text in ("●" if visible else "○", "", segment.GetName())
        ]
        cells[0].setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        cells[1].setBackground(QColor.fromRgbF(*segment.GetColor()))
        for column, cell in enumerate(cells):
            self._table.setItem(row, column, cell)
