"""Review: what was found, how sure it is, and the one-step correction of the numbering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.util import VTKObservationMixin

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib import structures
from CPS4SegmentLib.result_record import RESULT, read_record
from CPS4SegmentLib.scene_choice import volume_of
from CPS4SegmentLib.sections.level_controls import LevelControls
from CPS4SegmentLib.sections.reporting import says_errors
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.structure_table import StructureTable

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel

REST_MS = 200
"""Painting changes a segment many times a second; the table follows when the hand rests."""


class ReviewSection(Section, VTKObservationMixin):
    """Shows the structures of the chosen segmentation and follows every change made to it."""

    FILE = "ReviewSection"
    BUTTON = "reviewCollapsibleButton"

    def __init__(self, panel: Panel):
        Section.__init__(self, panel)
        VTKObservationMixin.__init__(self)
        self._shown: Any = None
        self._rows: dict[str, Any] = {}
        self._table = StructureTable(self.ui.structureTable, self._jump, self._set_visible)
        self._levels = LevelControls(panel, self.ui)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.connect("timeout()", self._show)
        self.ui.structureTable.connect("itemSelectionChanged()", self._show_levels)
        self._show()

    def refresh(self) -> None:
        """Follow the choice of a segmentation; its contents are followed by observers."""
        segmentation = self.panel.parameters.segmentation
        if segmentation is not self._shown:
            self._let_go()
            self._shown = segmentation
            if segmentation is not None:
                self._observe(segmentation)
                # The other sections work on the volume that it belongs to.
                volume = volume_of(segmentation)
                if volume is not None and self.panel.parameters.inputVolume is not volume:
                    self.panel.parameters.inputVolume = volume
            self._show()

    def close(self) -> None:
        """Let go of the segmentation."""
        self._let_go()
        self._show()

    def _let_go(self) -> None:
        self._timer.stop()
        self.removeObservers()
        self._shown = None

    def _observe(self, segmentation: Any) -> None:
        """Follow names, voxels, segments and visibility, wherever they are changed."""
        kinds = slicer.vtkSegmentation
        for event in (
            kinds.SegmentAdded,
            kinds.SegmentRemoved,
            kinds.SegmentModified,
            kinds.SourceRepresentationModified,
        ):
            self.addObserver(segmentation.GetSegmentation(), event, self._changed)
        self.addObserver(segmentation, segmentation.DisplayModifiedEvent, self._changed)

    def _changed(self, *_: Any) -> None:
        self._timer.start()

    def _show(self) -> None:
        """Table, warnings and summary as the segmentation is now."""
        rows: list[Any] = []
        warnings: list[str] = []
        summary = "Choose a segmentation, or make one in the section Segment."
        if self._shown is not None:
            try:
                rows = structures.list_structures(self._shown)
                warnings = structures.spine_warnings(self._shown)
                summary = self._summary(rows)
            except CPS4Error as error:
                summary = str(error)
        self._rows = {row.segment_id: row for row in rows}
        self._table.fill(rows)
        self.ui.summaryLabel.setText(summary)
        self.ui.warningsLabel.setText("\n".join(f"\N{BULLET} {text}" for text in warnings))
        self.ui.warningsLabel.setVisible(bool(warnings))
        self._show_levels()

    @says_errors
    def _show_levels(self) -> None:
        self._levels.show(self._shown, self._rows.get(self._table.selected or ""))

    def _summary(self, rows: list[Any]) -> str:
        """One line over all structures."""
        if not rows:
            return "This segmentation has no structures."
        levels = [row.name for row in rows if row.kind in ("vertebra", "disc")]
        count = "1 structure" if len(rows) == 1 else f"{len(rows)} structures"
        text = f"{count}, {levels[0]} to {levels[-1]}." if len(levels) > 1 else f"{count}."
        result = read_record(self._shown, RESULT) or {}
        sure = result.get("levels_confidence")
        if sure is None or any(row.named_by_hand for row in rows):
            return text
        text += f" The numbering is {sure:.0%} sure.".replace("%", " %")
        if not result.get("calibrated"):
            text += " This model's confidences are not calibrated and mean little."
        return text

    @says_errors
    def _jump(self, segment_id: str) -> None:
        structures.jump(self._shown, segment_id)

    @says_errors
    def _set_visible(self, segment_id: str, visible: bool) -> None:
        structures.set_visible(self._shown, segment_id, visible)
