"""The stand-ins for C++ widget classes, by name."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T", bound=type)

widget_classes: dict[str, type] = {}


def cpp_class(cls: T) -> T:
    """Class decorator: Slicer has this class in C++. A .ui may use it; `qt`-side rules apply.

    Public names of such a class are those that PythonQt shows of the real one: its properties,
    its public slots and Q_INVOKABLE methods, its signals. Anything else begins with "_".
    """
    cls.cpp_in_slicer = True
    widget_classes[cls.__name__] = cls
    return cls
