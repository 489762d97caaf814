"""The one-step shift of all levels ("this one is L5"), and its Undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from CPS4SegmentLib import level_shift
from CPS4SegmentLib.sections.reporting import says_errors

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel

CHOOSE = "Select a vertebra or a disc in the table first"


class LevelControls:
    """The row of widgets under the table: a name, Rename, Undo."""

    def __init__(self, panel: Panel, ui: Any):
        self.panel = panel
        self._names, self._rename = ui.levelSelector, ui.shiftButton
        self._undo_button = ui.undoShiftButton
        self._segmentation: Any = None
        self._row: Any = None
        self._names.connect("currentIndexChanged(int)", self._show_button)
        self._rename.connect("clicked()", self._shift)
        self._undo_button.connect("clicked()", self._undo)

    def show(self, segmentation: Any, row: Any) -> None:
        """Offer names for the selected structure (structures.StructureRow or None)."""
        self._segmentation, self._row = segmentation, row
        names = level_shift.possible_names(segmentation, row.segment_id) if row else []
        was_blocked = self._names.blockSignals(True)
        self._names.clear()
        self._names.addItems(names)
        if row and row.name in names:
            self._names.setCurrentIndex(names.index(row.name))
        self._names.blockSignals(was_blocked)
        self._names.setEnabled(bool(names))
        self._names.setToolTip(f"What {row.name} really is" if names else CHOOSE)
        self._show_button()
        shifted = segmentation is not None and level_shift.can_undo_shift(segmentation)
        self._undo_button.setEnabled(shifted)
        self._undo_button.setToolTip(
            "Take the last renaming back" if shifted else "Nothing has been renamed"
        )

    def _show_button(self) -> None:
        name = self._names.currentText
        old = self._row.name if self._row else ""
        self._rename.setEnabled(bool(name) and name != old)
        if not name:
            tip = CHOOSE
        elif name == old:
            tip = f"{old} has this name already; choose another one to the left"
        else:
            tip = f"{old} becomes {name}, and all vertebrae and discs move along with it"
        self._rename.setToolTip(tip)

    @says_errors
    def _shift(self) -> None:
        old, new = self._row.name, self._names.currentText
        lines = level_shift.shift_levels(self._segmentation, self._row.segment_id, new)
        self.panel.say(f"{old} is now {new}; {len(lines)} structures were renamed.")

    @says_errors
    def _undo(self) -> None:
        lines = level_shift.undo_shift(self._segmentation)
        self.panel.say(f"Undone: {len(lines)} structures have their earlier names again.")
