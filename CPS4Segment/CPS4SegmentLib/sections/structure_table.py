"""The table of structures: visibility, colour and name, volume, confidence, warnings."""

from collections.abc import Callable
from typing import Any

import qt

VISIBLE, NAME, VOLUME, CONFIDENCE, WARNINGS = range(5)

UNLIKELY, DOUBTFUL = 0.5, 0.8
"""Below the first a structure is more likely wrong than right; below the second it wants a look."""

TINTS = {"unlikely": "#f5b7b1", "doubtful": "#fff3cd"}


class StructureTable:
    """Fills a QTableWidget with structures and says what the user does with them.

    `on_select(segment_id)` is called when a row is chosen by mouse or keyboard (again, too),
    `on_visible(segment_id, visible)` when its check box is clicked.
    """

    def __init__(
        self,
        table: "qt.QTableWidget",
        on_select: Callable[[str], None],
        on_visible: Callable[[str, bool], None],
    ) -> None:
        self._table, self._on_select, self._on_visible = table, on_select, on_visible
        self._ids: list[str] = []
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(28)
        for column in (VISIBLE, NAME, VOLUME, CONFIDENCE):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(WARNINGS, qt.QHeaderView.Stretch)
        table.connect("cellClicked(int,int)", self._clicked)
        table.connect("itemSelectionChanged()", self._selected)
        table.connect("cellChanged(int,int)", self._changed)

    @property
    def selected(self) -> str | None:
        """Id of the selected segment."""
        row = self._table.currentRow()
        return self._ids[row] if 0 <= row < len(self._ids) else None

    def fill(self, rows: list[Any]) -> None:
        """Show `rows` (structures.StructureRow); neither callback is called.

        The selected segment stays selected if it is still there.
        """
        selected = self.selected
        was_blocked = self._table.blockSignals(True)
        try:
            self._ids = [row.segment_id for row in rows]
            self._table.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._fill_row(number, row)
            self._table.resizeRowsToContents()
            if selected in self._ids:
                self._table.setCurrentCell(self._ids.index(selected), NAME)
            else:
                self._table.setCurrentCell(-1, -1)
                self._table.clearSelection()
        finally:
            self._table.blockSignals(was_blocked)

    def _fill_row(self, number: int, row: Any) -> None:
        visible = _item("")
        visible.setFlags(visible.flags() | qt.Qt.ItemIsUserCheckable)
        visible.setCheckState(qt.Qt.Checked if row.visible else qt.Qt.Unchecked)
        visible.setToolTip("Shown in the views")
        name = _item(row.name)
        name.setIcon(_swatch(row.color))
        name.setToolTip(row.full_name)
        volume = _item(f"{row.volume_mm3 / 1000:.1f}", right=True)
        warnings = _item(". ".join(row.warnings))
        warnings.setToolTip("\n".join(row.warnings))
        items = (visible, name, volume, _confidence(row.confidence, row.named_by_hand), warnings)
        for column, item in enumerate(items):
            self._table.setItem(number, column, item)

    def _clicked(self, row: int, column: int) -> None:
        if column != VISIBLE and row < len(self._ids):
            self._on_select(self._ids[row])

    def _selected(self) -> None:
        if self.selected:
            self._on_select(self.selected)

    def _changed(self, row: int, column: int) -> None:
        if column == VISIBLE and row < len(self._ids):
            checked = self._table.item(row, column).checkState() == qt.Qt.Checked
            self._on_visible(self._ids[row], checked)


def _item(text: str, right: bool = False) -> "qt.QTableWidgetItem":
    item = qt.QTableWidgetItem(text)
    side = qt.Qt.AlignRight if right else qt.Qt.AlignLeft
    item.setTextAlignment(side | qt.Qt.AlignVCenter)
    return item


def _confidence(confidence: float | None, by_hand: bool) -> "qt.QTableWidgetItem":
    if by_hand:
        item = _item("by hand", right=True)
        item.setToolTip("Named by the user, not by the model")
        return item
    if confidence is None:
        item = _item("\N{EN DASH}", right=True)
        item.setToolTip("No confidence is known for this structure")
        return item
    item = _item(f"{confidence:.0%}".replace("%", " %"), right=True)
    if confidence < DOUBTFUL:
        kind = "unlikely" if confidence < UNLIKELY else "doubtful"
        item.setBackground(qt.QBrush(qt.QColor(TINTS[kind])))
        item.setForeground(qt.QBrush(qt.QColor("#202020")))  # readable in the dark theme, too
        item.setToolTip("Doubtful: look at this structure and its level")
    return item


def _swatch(color: tuple[int, int, int]) -> "qt.QIcon":
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*color))
    return qt.QIcon(pixmap)
