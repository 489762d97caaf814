"""Attribute access on Qt objects as PythonQt, Slicer's binding, does it.

PythonQt looks a name up as property, method, signal, dynamic property, then child object by its
name; it converts what is written to a property; and it refuses new attributes on C++ objects.
PySide6 differs in each of these (its own `true_property` deletes setText() and isEnabled()), so
the rules are applied here to QObject itself, from the meta-object.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PySide6.QtCore import QObject, Signal, SignalInstance

from slicerharness import signals
from slicerharness.raw import get, meta_object, qt_property

# Properties whose getter is also a C++ virtual: Shiboken finds Python overrides of it through
# attribute lookup, so that these must stay methods here.
_VIRTUAL = {"sizeHint", "minimumSizeHint", "duration"}
# Names that PythonQt resolves to the method, not to the property.
_METHODS = {("QTimer", "singleShot"), ("QProgressBar", "text")}
_ALIASES = {"name": "objectName"}

_property_indices: dict[tuple[type, str], tuple[int, str]] = {}
_loading: list[bool] = []


def install() -> None:
    """Give every Qt object PythonQt's attribute access, in this process, for good."""
    QObject.__getattribute__ = _getattribute


def refuse_new_attributes(cls: type) -> None:
    """Give `cls` PythonQt's rules for writing attributes."""
    cls.__setattr__ = _setattr


@contextmanager
def loading_ui() -> Iterator[None]:
    """PySide6's QUiLoader stores the children as attributes of the root: let it, meanwhile."""
    _loading.append(True)
    try:
        yield
    finally:
        _loading.pop()


def _getattribute(self: QObject, name: str) -> Any:
    if name.startswith("__"):
        return get(self, name)
    if name in ("connect", "disconnect"):  # hard-coded on PySide6's instances
        return types.MethodType(getattr(signals, name), self)
    index, real_name = _property_index(self, name)
    if index >= 0 and not isinstance(_static(type(self), name), property):
        value = qt_property(self, real_name)
        return tuple(value) if isinstance(value, list) else value  # a QStringList reads so
    try:
        found = get(self, name)
    except AttributeError:
        return _fallback(self, name)
    return signals.BoundSignal(self, name, found) if isinstance(found, SignalInstance) else found


def _fallback(self: QObject, name: str) -> Any:
    if name in _ADDED_METHODS:
        return functools.partial(_ADDED_METHODS[name], self)
    dynamic = qt_property(self, name)
    if dynamic is not None:
        return dynamic
    for child in QObject.children(self):
        if QObject.objectName(child) == name:
            return child
    class_name = meta_object(self).className()
    raise AttributeError(f"{class_name} has no attribute named '{name}'") from None


def _setattr(self: QObject, name: str, value: Any) -> None:
    index, _ = _property_index(self, name)
    if index >= 0:
        _write_property(self, index, name, list(value) if isinstance(value, tuple) else value)
    elif not _loading and _is_cpp(self) and not name.startswith("_"):
        _write_on_cpp(self, name, value)
    else:
        _store(self, name, value)


def _write_property(self: QObject, index: int, name: str, value: Any) -> None:
    target = meta_object(self).property(index)
    if not target.isWritable():
        raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
    try:
        converted = _CONVERSIONS.get(target.typeName(), lambda v: v)(value)
    except (TypeError, ValueError):
        converted = None
    if converted is None or not target.write(self, converted):
        raise AttributeError(
            f"Property '{name}' of type '{target.typeName()}' does not accept an object of type "
            f"{type(value).__name__} ({value!r})"
        )


def _write_on_cpp(self: QObject, name: str, value: Any) -> None:
    if isinstance(value, SignalInstance | Signal):
        _store(self, name, value)  # PySide6 caches bound signals on the instance
    elif qt_property(self, name) is not None:
        QObject.setProperty(self, name, value)
    elif _static(type(self), name) is not None:
        raise AttributeError(
            f"Slot '{name}' can not be overwritten on {type(self).__name__} object"
        )
    else:
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__} and creating new attributes on "
            "C++ objects is not allowed"
        )


def _is_cpp(self: QObject) -> bool:
    """Whether Slicer has this class in C++: Qt's own and the harness's stand-ins for C++ classes.

    A class that the module under test derives in Python may get attributes, as in Slicer.
    """
    cls = type(self)
    return cls.__module__.startswith("PySide6") or "cpp_in_slicer" in vars(cls)


def _store(self: QObject, name: str, value: Any) -> None:
    descriptor = _static(type(self), name)
    if hasattr(descriptor, "__set__"):
        descriptor.__set__(self, value)
    else:
        get(self, "__dict__")[name] = value


def _static(cls: type, name: str) -> Any:
    return inspect.getattr_static(cls, name, None)


def _property_index(self: QObject, name: str) -> tuple[int, str]:
    """The index of property `name` in the meta-object, -1 if none, and its real name."""
    key = (type(self), name)
    if key not in _property_indices:
        meta = meta_object(self)
        real_name = _ALIASES.get(name, name)
        is_method = name in _VIRTUAL or any(
            (cls.__name__, name) in _METHODS for cls in type(self).__mro__
        )
        index = -1 if is_method else meta.indexOfProperty(real_name)
        _property_indices[key] = (index, real_name)
    return _property_indices[key]


# What PythonQt makes of a Python value for a property of this type.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "int": lambda v: math.floor(v) if isinstance(v, float) else int(v),
    "double": float,
    "QString": str,
    "QStringList": list,
}
# Methods that PythonQt adds to every QObject.
_ADDED_METHODS: dict[str, Callable[[QObject], Any]] = {
    "className": lambda self: meta_object(self).className(),
    "delete": lambda self: QObject.deleteLater(self),
}
