"""`slicer.app`: scene, logics, modules, layout manager and settings."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6.QtCore import QSettings, Signal
from PySide6.QtWidgets import QApplication, QStyleFactory

from slicerharness import subject_hierarchy
from slicerharness.io_manager import IOManager
from slicerharness.layout_manager import LayoutManager
from slicerharness.main_window import MainWindow
from slicerharness.modules import Module, ModuleManager, Modules
from slicerharness.scene import make_module_logics, make_scene, quiet


class qSlicerApplication(QApplication):  # noqa: N801
    """The application, made once by start()."""

    cpp_in_slicer = True
    startupCompleted = Signal()
    applicationVersion = "5.13.0-harness"
    majorVersion = 5
    minorVersion = 13
    revision = "0"
    documentationBaseUrl = "https://slicer.readthedocs.io/"
    mainApplicationName = "Slicer"
    isInstalled = True
    slicerSharePath = "share/Slicer-5.13"

    def _begin(self, testing: bool, main_window: bool) -> None:
        """Make scene, logics and modules; `slicer.app` must already be this object."""
        folder = tempfile.TemporaryDirectory(prefix="slicerharness-", ignore_cleanup_errors=True)
        path = folder.name
        with quiet():
            scene, logic, kept = make_scene(path)
            logics = make_module_logics(scene, logic)
            subject_hierarchy.follow(scene)
        vars(self).update(
            temporaryPath=path,
            slicerHome=path,
            defaultScenePath=path,
            cachePath=path,
            _scene=scene,
            _logic=logic,
            _folder=folder,
            _kept=kept,
            _testing=testing,
            _options=SimpleNamespace(
                runPythonAndExit=False,
                noMainWindow=not main_window,
                testingEnabled=testing,
                pythonScript="",
                pythonCode="",
            ),
            _io=IOManager(),
            _layout=None,
            _main_window=None,
        )
        self._keep_settings_apart()
        slicer.mrmlScene = scene
        slicer.modules = Modules()
        vars(self)["_modules"] = ModuleManager()
        for name, module_logic in logics.items():
            setattr(slicer.modules, name.lower(), Module(name, module_logic))
        self.setStyle(QStyleFactory.create("Fusion"))
        if main_window:
            with quiet():  # of there being no X server
                vars(self)["_layout"] = LayoutManager(scene, logic)
            vars(self)["_main_window"] = MainWindow()

    def _keep_settings_apart(self) -> None:
        """The settings of the user's own Slicer are none of a test's business."""
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, self.temporaryPath)

    def settings(self) -> QSettings:
        return QSettings()

    userSettings = revisionUserSettings = settings

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._scene

    def coreIOManager(self) -> IOManager:
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        return self._logic.GetModuleLogic(name)

    def layoutManager(self) -> Any:
        return self._layout

    def testingEnabled(self) -> bool:
        return self._testing

    def commandOptions(self) -> Any:
        return self._options

    def exit(self, code: int = 0) -> None:
        """End the process with `code` once the script is back (__main__.py)."""
        raise SystemExit(code)

    def quit(self) -> None:
        self.exit(0)

    def pauseRender(self) -> None:
        """Views render only when asked to here."""

    resumeRender = pauseRender

    def setRenderPaused(self, paused: bool) -> None:
        """Views render only when asked to here."""

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}en/latest/user_guide/modules/{name.lower()}.html"
