"""ctkSliderWidget: a slider with a spin box."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.plain import kept

STEPS = 1000


def _of_box(qt_type: Any, name: str) -> Any:
    """A property that is the spin box's own."""
    return Property(
        qt_type,
        lambda self: getattr(self._box, name),
        lambda self, value: setattr(self._box, name, value),
    )


@cpp_class
class ctkSliderWidget(QWidget):  # noqa: N801
    """A value within a range."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    minimum = _of_box(float, "minimum")
    maximum = _of_box(float, "maximum")
    decimals = _of_box(int, "decimals")
    prefix = _of_box(str, "prefix")
    suffix = _of_box(str, "suffix")
    singleStep = _of_box(float, "singleStep")
    pageStep = kept(float, 10.0)
    tickInterval = kept(float, 0.0)
    tracking = kept(bool, True)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, STEPS)
        self._box = QDoubleSpinBox(self)
        self._box.setRange(0, 99)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._on_value)
        self._slider.sliderMoved.connect(self._on_slider)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    value = Property(float, lambda self: self._box.value, setValue)

    def reset(self) -> None:
        self._box.setValue(0)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    spinBoxVisible = Property(bool, lambda self: not self._box.isHidden(), setSpinBoxVisible)

    def _on_value(self, value: float) -> None:
        span = self._box.maximum - self._box.minimum
        position = round(STEPS * (value - self._box.minimum) / span) if span else 0
        self._slider.setValue(position)
        emit(self, "valueChanged", value)

    def _on_slider(self, position: int) -> None:
        span = self._box.maximum - self._box.minimum
        self._box.setValue(self._box.minimum + position / STEPS * span)
