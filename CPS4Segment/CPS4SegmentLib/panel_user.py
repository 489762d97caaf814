"""A user's way through the panel, step by step: for the self-test, and for what else walks it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer.util

SECTIONS = ("setup", "segment", "review", "maps", "correct")
MINUTES = 10
"""How long one step of the worker may take on a slow machine."""


class PanelUser:
    """Opens one section after the other and does in each what the tutorial says.

    widget: the module's widget, of a loaded module.
    """

    def __init__(self, widget: Any):
        self.widget, self.panel = widget, widget.panel
        self.lines: list[str] = []
        self.panel.listeners.append(lambda text, level: self.lines.append(f"{level}: {text}"))
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule(widget.moduleName)
        widget.enter()  # also where the module was selected already, or there is no window

    @property
    def ui(self) -> Any:
        """All named widgets of the panel."""
        return self.panel.ui

    @property
    def segmentation(self) -> Any:
        """The chosen segmentation node."""
        return self.panel.parameters.segmentation

    def open(self, *sections: str) -> Any:
        """Open these sections and close the others; returns the last one's button."""
        for name in SECTIONS:
            getattr(self.ui, f"{name}CollapsibleButton").collapsed = name not in sections
        slicer.app.processEvents()
        return getattr(self.ui, f"{sections[-1]}CollapsibleButton")

    def setup(self) -> Any:
        """Wait until the worker has said what the machine and the models are."""
        self.until(lambda: self.panel.discovery.models is not None, "the models are known")
        self.until(lambda: self.panel.discovery.devices, "the devices are known")
        return self.open("setup")

    def segment(self, volume: Any, show_3d: bool = False) -> Any:
        """Choose the volume, press Segment, wait for the result."""
        button = self.open("segment")
        self.ui.inputSelector.setCurrentNode(volume)
        self.click(self.ui.applyButton)
        self.until(lambda: self.segmentation is not None, "the segmentation is there")
        self.ui.show3DCheckBox.setChecked(show_3d)
        slicer.app.processEvents()
        return button

    def review(self, name: str) -> Any:
        """Select a structure in the table, so that the views jump to it."""
        button = self.open("review")
        self._select(name)
        return button

    def rename(self, name: str, to: str) -> None:
        """ "This one is ...", with all the others moving along."""
        self._select(name)
        index = self.ui.levelSelector.findText(to)
        assert index >= 0, f"{to} is not offered for {name}"
        self.ui.levelSelector.setCurrentIndex(index)
        self.click(self.ui.shiftButton)

    def maps(self, name: str) -> Any:
        """Compute the prompt maps and show that of one class."""
        button = self.open("maps")
        self.click(self.ui.computeButton)
        self.until(lambda: self.ui.classSelector.count > 1, "the prompt maps are there")
        selector = self.ui.classSelector
        texts = [selector.itemText(i) for i in range(selector.count)]
        index = next(i for i, text in enumerate(texts) if text.split(" ")[0] == name)
        selector.setCurrentIndex(index)
        selector.activated(index)
        slicer.app.processEvents()
        return button

    def own_prompt(self, text: str) -> None:
        """Map a prompt in one's own words."""
        before = self.ui.classSelector.count
        self.ui.ownPromptEdit.setText(text)
        self.click(self.ui.ownPromptButton)
        self.until(lambda: self.ui.classSelector.count > before, "the own prompt's map is there")

    def submit(self, study: Path, case: str, author: str, note: str = "") -> Any:
        """Fill in the form and submit; returns the section's button."""
        button = self.open("correct")
        self.ui.studyPath.setCurrentPath(str(study))
        for edit, text in (("caseEdit", case), ("authorEdit", author), ("noteEdit", note)):
            getattr(self.ui, edit).setText(text)
        self.ui.submittedLabel.setText("")
        self.click(self.ui.submitButton)
        self.until(lambda: self.ui.submittedLabel.text, "the correction is submitted")
        return button

    def click(self, button: Any) -> None:
        """Click as a user: only what is enabled."""
        self.until(lambda: button.enabled, lambda: f"'{button.text}' is on ({button.toolTip})", 30)
        button.click()
        slicer.app.processEvents()

    def until(
        self, happened: Callable[[], Any], what: str | Callable[[], str], seconds: float = 0
    ) -> None:
        """Run the event loop until something is so."""
        end = time.monotonic() + (seconds or 60 * MINUTES)
        while not happened():
            if time.monotonic() > end:
                text = what if isinstance(what, str) else what()
                raise AssertionError(f"waited in vain until {text}; the panel said {self.lines}")
            slicer.app.processEvents()
            time.sleep(0.02)

    def _select(self, name: str) -> None:
        table = self.ui.structureTable
        for row in range(table.rowCount):
            texts = [
                table.item(row, c).text() for c in range(table.columnCount) if table.item(row, c)
            ]
            if name in texts:
                table.selectRow(row)
                slicer.app.processEvents()
                return
        raise AssertionError(f"{name} is not in the table")
