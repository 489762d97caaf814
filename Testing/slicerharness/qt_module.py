"""The module `qt` as Slicer has it: all of Qt in one name space."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from slicerharness import attributes, dialogs
from slicerharness.registry import widget_classes
from slicerharness.signals import guarded
from slicerharness.ui_loader import QUiLoader


def build() -> types.ModuleType:
    """`qt`, with PythonQt's semantics put on PySide6."""
    qt = types.ModuleType("qt", "Qt as PythonQt shows it")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(module):
            if not name.startswith("_"):
                setattr(qt, name, getattr(module, name))
    for value in list(vars(qt).values()):
        if inspect.isclass(value) and issubclass(value, QtCore.QObject):
            attributes.refuse_new_attributes(value)
    attributes.install()
    qt.QUiLoader = QUiLoader
    _patch_single_shot()
    _patch_find_children(qt)
    dialogs.install()
    return qt


def _patch_single_shot() -> None:
    single_shot = QtCore.QTimer.singleShot

    def guarded_single_shot(milliseconds: int, *function: Callable[[], Any]) -> None:
        single_shot(milliseconds, guarded(function[-1]))

    QtCore.QTimer.singleShot = staticmethod(guarded_single_shot)


def _patch_find_children(qt: types.ModuleType) -> None:
    """findChild(ren) also take the class by its name, as PythonQt's do."""
    for method in ("findChild", "findChildren"):
        original = getattr(QtCore.QObject, method)

        def find(self, kind=QtCore.QObject, name="", original=original):
            if isinstance(kind, str):
                kind = widget_classes.get(kind) or getattr(qt, kind)
            return original(self, kind, name) if name else original(self, kind)

        setattr(QtCore.QObject, method, find)
