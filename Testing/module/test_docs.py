"""The user's documentation and the panel name the same things by the same words."""

from __future__ import annotations

import re
from typing import Any

import pytest
import qt
from machine import MODULE, REPOSITORY

DOCS = REPOSITORY / "docs"
ELSEWHERE = {"PyTorch", "CPS4SpineSegment", "CPS4 Spine Segment"}
"""Extensions and the module; names with an arrow are ways through Slicer's menus."""
NAMING = ("QLabel", "QPushButton", "QCheckBox", "QRadioButton", "QGroupBox", "ctkCollapsibleButton")


def bold(page: str) -> set[str]:
    """What a page of the documentation sets in bold."""
    found = re.findall(r"\*\*(.+?)\*\*", (DOCS / page).read_text(encoding="utf-8"))
    names = (n for n in found if "\N{RIGHTWARDS ARROW}" not in n and not is_sentence(n))
    return set(names) - ELSEWHERE


def is_sentence(text: str) -> bool:
    """Whether it ends as sentences do, and not as the name of a button that opens a dialog."""
    return text.endswith(".") and not text.endswith("...")


@pytest.fixture
def texts(load_module: Any) -> set[str]:
    """What stands on the panel: buttons, boxes, names of entries and the table's head."""
    ui = load_module(MODULE)[1].panel.ui
    inside = {ui.segmentEditor, ui.studyPath}  # these have buttons of their own
    found = set()
    for widget in vars(ui).values():
        if type(widget).__name__ in NAMING and not inside & set(above(widget)):
            text = widget.title if type(widget).__name__ == "QGroupBox" else widget.text
            found.add(text.removesuffix(":"))
    head = ui.structureTable
    return found | {head.horizontalHeaderItem(c).text() for c in range(head.columnCount)}


def above(widget: Any) -> list[Any]:
    """The widgets that a widget lies in."""
    parents = []
    while (widget := widget.parent()) is not None and isinstance(widget, qt.QWidget):
        parents.append(widget)
    return parents


@pytest.mark.parametrize("page", ["panel.md", "tutorial.md", "troubleshooting.md"])
def test_what_is_bold_stands_on_the_panel(texts: set[str], page: str) -> None:
    assert bold(page) - texts == set()


def test_the_reference_names_all_that_stands_on_the_panel(texts: set[str]) -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "panel.md").read_text(encoding="utf-8"), re.M)
    names = {text for text in texts if text and not is_sentence(text)}
    assert names - bold("panel.md") - set(headings) == set()
    assert headings[:5] == ["Setup", "Segment", "Review", "Prompt maps", "Correct"]
