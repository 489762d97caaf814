"""The effects of the Segment Editor, as names with parameters, and their buttons."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QButtonGroup, QGridLayout, QGroupBox, QSizePolicy, QToolButton

from slicerharness.registry import cpp_class
from slicerharness.signals import emit

EFFECTS = (
    "Threshold",
    "Paint",
    "Draw",
    "Erase",
    "Level tracing",
    "Grow from seeds",
    "Fill between slices",
    "Margin",
    "Hollow",
    "Smoothing",
    "Scissors",
    "Islands",
    "Logical operators",
    "Mask volume",
)


@cpp_class
class qSlicerSegmentEditorAbstractEffect(QObject):  # noqa: N801
    """Keeps its parameters; what it would do to a segment is painting.py's."""

    def __init__(self, name: str):
        super().__init__()
        self._name = name
        self._parameters: dict[str, str] = {}

    @Property(str)
    def name(self) -> str:
        return self._name

    @Property(str)
    def title(self) -> str:
        return self._name

    def setParameter(self, name: str, value: Any) -> None:
        self._parameters[name] = str(value)

    def parameter(self, name: str) -> str:
        return self._parameters.get(name, "")

    def integerParameter(self, name: str) -> int:
        return int(self._parameters.get(name, "0"))

    def doubleParameter(self, name: str) -> float:
        return float(self._parameters.get(name, "0"))


class EffectsBox(QGroupBox):
    """A button for each effect; part of the editor, no widget of Slicer's."""

    cpp_in_slicer = True
    chosen = Signal(str)

    def __init__(self, parent: Any):
        super().__init__("Effects", parent)
        self._grid = QGridLayout(self)
        self._buttons = QButtonGroup(self)
        self._buttons.setExclusive(False)
        self._buttons.buttonClicked.connect(self._on_clicked)

    def show_effects(self, names: list[str], columns: int) -> None:
        """Make the buttons anew."""
        for button in self._buttons.buttons():
            self._buttons.removeButton(button)
            self._grid.removeWidget(button)
            button.setParent(None)
            button.deleteLater()
        for k, name in enumerate(names):
            button = QToolButton(self)
            button.setText(name)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._buttons.addButton(button)
            self._grid.addWidget(button, k // columns, k % columns)

    def check(self, name: str) -> None:
        """Show which effect is active."""
        for button in self._buttons.buttons():
            button.setChecked(button.text == name)

    def _on_clicked(self, button: QToolButton) -> None:
        emit(self, "chosen", button.text if button.checked else "")
