"""qMRMLWidget and qSlicerWidget: widgets that know the scene."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from slicerharness.registry import cpp_class
from slicerharness.signals import emit


@cpp_class
class qMRMLWidget(QWidget):  # noqa: N801
    """Passes the scene on to the widgets connected to mrmlSceneChanged."""

    mrmlSceneChanged = Signal(object)
    mrml_signals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            emit(self, "mrmlSceneChanged", scene)


@cpp_class
class qSlicerWidget(qMRMLWidget):  # noqa: N801
    """The same in Slicer's own name space."""
