"""qSlicerScriptedLoadableModuleWidget: the panel of a scripted module."""

from __future__ import annotations

import sys
from typing import Any

from PySide6.QtCore import Property, QCoreApplication, QEvent
from PySide6.QtWidgets import QVBoxLayout

from slicerharness.registry import cpp_class
from slicerharness.widgets.mrml_widget import qSlicerWidget


@cpp_class
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):  # noqa: N801
    """Holds the module's Python widget and tells it when it is shown and left."""

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        QVBoxLayout(self)
        self._python: Any = None
        self._module_name = ""
        self._entered = False

    @classmethod
    def _make(cls, module_name: str) -> qSlicerScriptedLoadableModuleWidget:
        import slicer

        panel = cls()
        panel._module_name = module_name
        panel.setMRMLScene(slicer.mrmlScene)
        panel.reload()
        return panel

    def self(self) -> Any:
        """The module's Python widget."""
        return self._python

    def reload(self) -> None:
        """Make the Python widget from the module's present source, and set it up."""
        import slicer

        python_class = getattr(sys.modules[self._module_name], self._module_name + "Widget")
        self._python = python_class(self)
        setattr(slicer.modules, self._module_name + "Widget", self._python)
        self._python.setup()

    @Property(bool)
    def isEntered(self) -> bool:
        return self._entered

    def _enter(self) -> None:
        self._entered = True
        self._python.enter()

    def _leave(self) -> None:
        self._entered = False
        self._python.exit()

    def _drop(self) -> None:
        """Delete the panel now: deleteLater() waits for an event loop, which tests do not run."""
        self._python = None
        self.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
