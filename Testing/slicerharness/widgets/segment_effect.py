"""The effects of the Segment Editor, as names with parameters."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QObject

from slicerharness.registry import cpp_class

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
