"""Widgets bound to parameters: which widget takes which type, read, write and change signal.

The pairs are Slicer's, with its limits: the exact widget class (no ctkComboBox), a combo box only
with Choice, a slider only with a range.
"""

from __future__ import annotations

import logging
import pathlib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer

from slicerharness.parameter_node.serializers import NodeSerializer, make_serializer
from slicerharness.parameter_node.validators import Choice, Maximum, Minimum, WithinRange
from slicerharness.registry import widget_classes


@dataclass
class Decimals:
    """Annotation: decimals of the spin box."""

    value: int


@dataclass
class SingleStep:
    """Annotation: step of the spin box."""

    value: float


class GuiConnector:
    """One widget, by one property or pair of methods, and its signal."""

    def __init__(
        self,
        widget: Any,
        signal: str,
        read: Callable[[], Any],
        write: Callable[[Any], None],
    ):
        self._widget, self._signal = widget, signal
        self.read, self.write = read, write
        self._callback: Callable[[], None] | None = None

    def widget(self) -> Any:
        """The bound widget."""
        return self._widget

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` when the user changes the widget; None ends that."""
        signal = getattr(self._widget, self._signal)
        signal.disconnect(self._changed) if callback is None else signal.connect(self._changed)
        self._callback = callback

    def _changed(self) -> None:
        if self._callback:
            self._callback()


def make_connector(widget: Any, datatype: Any) -> GuiConnector:
    """The connector of a widget to a parameter of this type; RuntimeError if there is none."""
    annotations: tuple[Any, ...] = ()
    type_ = datatype
    if typing.get_origin(datatype) is typing.Annotated:
        type_, *rest = typing.get_args(datatype)
        annotations = tuple(rest)
    for accepts, make in _CONNECTORS:
        if accepts(type(widget), type_):
            return make(widget, type_, annotations)
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'"
    )


def _by_property(widget: Any, signal: str, name: str) -> GuiConnector:
    return GuiConnector(
        widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value)
    )


def _check_box(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    return _by_property(widget, "stateChanged", "checked")


def _push_button(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    if not widget.checkable:
        logging.warning("Making push button checkable for conversion to bool")
        widget.checkable = True
    return _by_property(widget, "toggled", "checked")


def _number(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    low, high = _limits(annotations)
    is_slider = type(widget).__name__ in ("QSlider", "ctkSliderWidget")
    if is_slider and (low is None or high is None):
        raise RuntimeError("Cannot have a connection to a slider where the type is unbounded.")
    unbounded = 2**31 - 1 if type_ is int else float("inf")
    widget.minimum = -unbounded if low is None else low
    widget.maximum = unbounded if high is None else high
    for annotation in annotations:
        if isinstance(annotation, Decimals):
            widget.decimals = annotation.value
        if isinstance(annotation, SingleStep):
            widget.singleStep = annotation.value
    return _by_property(widget, "valueChanged", "value")


def _limits(annotations: Any) -> tuple[Any, Any]:
    low = high = None
    for annotation in annotations:
        if isinstance(annotation, WithinRange | Minimum):
            low = annotation.minimum
        if isinstance(annotation, WithinRange | Maximum):
            high = annotation.maximum
    return low, high


def _combo_box(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    choices = next((a.choices for a in annotations if isinstance(a, Choice)), None)
    if choices is None:
        raise RuntimeError("A QComboBox can only be connected with the Choice annotation.")
    widget.clear()
    for choice in choices:
        widget.addItem(str(choice))

    def write(value: Any) -> None:
        if value not in choices:
            raise ValueError(f"Unable to find value {value} in choices {choices}")
        widget.currentIndex = list(choices).index(value)

    return GuiConnector(widget, "currentIndexChanged", lambda: choices[widget.currentIndex], write)


def _line_edit(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    return _by_property(widget, "textChanged", "text")


def _text_edit(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    return GuiConnector(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _path(signal: str, name: str) -> Callable[..., GuiConnector]:
    def make(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
        return GuiConnector(
            widget,
            signal,
            lambda: type_(getattr(widget, name)),
            lambda value: setattr(widget, name, str(value)),
        )

    return make


def _node_box(widget: Any, type_: Any, annotations: Any) -> GuiConnector:
    widget.nodeTypes = [cls.__name__ for cls in make_serializer(type_).accepted]
    return GuiConnector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _is_node(type_: Any) -> bool:
    try:
        return isinstance(make_serializer(type_), NodeSerializer)
    except Exception:
        return False


def _is_path(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, pathlib.PurePath)


_CTK = widget_classes
_SCALARS = (int, float, str, bool)
# (whether it takes this widget class and type, the maker), first match wins
_CONNECTORS: list[tuple[Callable[[type, Any], bool], Callable[..., GuiConnector]]] = [
    (lambda w, t: w is qt.QCheckBox and t is bool, _check_box),
    (lambda w, t: w is qt.QPushButton and t is bool, _push_button),
    (lambda w, t: w in (qt.QSlider, qt.QSpinBox) and t is int, _number),
    (lambda w, t: w in (qt.QDoubleSpinBox, _CTK["ctkSliderWidget"]) and t is float, _number),
    (lambda w, t: w is qt.QComboBox and t in _SCALARS, _combo_box),
    (lambda w, t: w is qt.QLineEdit and t is str, _line_edit),
    (lambda w, t: w is qt.QTextEdit and t is str, _text_edit),
    (
        lambda w, t: w is _CTK["ctkPathLineEdit"] and _is_path(t),
        _path("currentPathChanged", "currentPath"),
    ),
    (
        lambda w, t: w is _CTK["ctkDirectoryButton"] and _is_path(t),
        _path("directoryChanged", "directory"),
    ),
    (lambda w, t: w is slicer.qMRMLNodeComboBox and _is_node(t), _node_box),
]
