"""`slicer.app` as a QApplication, with layout manager and main window."""

from __future__ import annotations

import os

from PySide6.QtCore import QSettings, Signal
from PySide6.QtWidgets import QApplication, QStyleFactory

from slicerharness.application import ApplicationParts
from slicerharness.scene import quiet


class QtApplication(ApplicationParts, QApplication):
    """slicer.app for start()."""

    startupCompleted = Signal()

    def _begin(self, testing: bool, main_window: bool) -> None:
        from slicerharness.layout_manager import LayoutManager
        from slicerharness.main_window import MainWindow

        super()._begin(testing, main_window)
        self.setStyle(QStyleFactory.create("Fusion"))
        # The user's settings are none of a test's business.
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, self.temporaryPath)
        if main_window:
            with quiet():  # of there being no X server
                vars(self)["_layout"] = LayoutManager(self._scene, self._logic)
            vars(self)["_main_window"] = MainWindow()

    def settings(self) -> QSettings:
        return QSettings()

    userSettings = revisionUserSettings = settings

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return os.path.join(self.temporaryPath, "slicerharness", "slicerharness.ini")
