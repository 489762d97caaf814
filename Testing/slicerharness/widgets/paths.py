"""ctkPathLineEdit and ctkDirectoryButton: choose a file or a folder."""

from __future__ import annotations

import os
from enum import IntFlag
from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QToolButton, QWidget

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.plain import kept


class Filter(IntFlag):
    """What may be chosen (ctkPathLineEdit::Filter)."""

    Dirs = 0x001
    Files = 0x002
    Drives = 0x004
    NoSymLinks = 0x008
    AllEntries = Dirs | Files | Drives
    Readable = 0x010
    Writable = 0x020
    Executable = 0x040
    Hidden = 0x100
    NoDotAndDotDot = 0x1000
    NoDot = 0x2000
    NoDotDot = 0x4000


@cpp_class
class ctkPathLineEdit(QWidget):  # noqa: N801
    """An edit line for a path with a button that opens a dialog."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Dirs, Files, Readable, Writable = Filter.Dirs, Filter.Files, Filter.Readable, Filter.Writable
    Hidden, AllEntries = Filter.Hidden, Filter.AllEntries
    NoDot, NoDotDot, NoDotAndDotDot = Filter.NoDot, Filter.NoDotDot, Filter.NoDotAndDotDot
    Drives, Executable = Filter.Drives, Filter.Executable

    label = kept(str, "")
    settingKey = kept(str, "")
    nameFilters = kept("QStringList", [])
    minimumContentsLength = kept(int, 0)
    # A .ui writes the names of the flags, "ctkPathLineEdit::Dirs|..."; QUiLoader has no enum here.
    filters = kept(int, int(Filter.AllEntries))

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._edit = QComboBox(self)
        self._edit.setEditable(True)
        self._button = QToolButton(self)
        self._button.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit, 1)
        layout.addWidget(self._button)
        self._edit.editTextChanged.connect(self._on_text)
        self._button.clicked.connect(self.browse)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setEditText(path)

    currentPath = Property(str, lambda self: self._edit.currentText, setCurrentPath)

    def _show_browse_button(self, visible: bool) -> None:
        self._button.setVisible(visible)

    showBrowseButton = Property(bool, lambda self: not self._button.isHidden(), _show_browse_button)
    showHistoryButton = kept(bool, True)

    def comboBox(self) -> QComboBox:
        return self._edit

    def browse(self) -> None:
        """Open the dialog that fits the filters."""
        if not self.filters & Filter.Files:
            path = QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        elif self.filters & Filter.Writable:
            path = QFileDialog.getSaveFileName(self, self.label, self.currentPath)
        else:
            path = QFileDialog.getOpenFileName(self, self.label, self.currentPath)
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        """Keep the path in the list."""
        if self.currentPath and self._edit.findText(self.currentPath) < 0:
            self._edit.addItem(self.currentPath)

    def retrieveHistory(self) -> None:
        """The history of earlier sessions is not kept here."""

    def _on_text(self, text: str) -> None:
        emit(self, "currentPathChanged", text)
        emit(self, "validInputChanged", os.path.exists(text))


@cpp_class
class ctkDirectoryButton(QWidget):  # noqa: N801
    """A button that shows a folder and opens a dialog to choose another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = kept(str, "")
    text = kept(str, "", lambda self: self._show())
    elideMode = kept(int, int(Qt.TextElideMode.ElideMiddle.value))

    def __init__(self, *arguments: Any):
        parent = arguments[-1] if arguments and isinstance(arguments[-1], QWidget) else None
        super().__init__(parent)
        self._path = os.getcwd()
        self._button = QPushButton(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)
        if arguments and isinstance(arguments[0], str):
            self._set_directory(arguments[0])
        self._show()

    def _set_directory(self, path: str) -> None:
        before, self._path = self._path, os.path.abspath(path or ".")
        self._show()
        emit(self, "directorySelected", self._path)
        if self._path != before:
            emit(self, "directoryChanged", self._path)

    directory = Property(str, lambda self: self._path, _set_directory)

    def browse(self) -> str:
        """Let the user choose."""
        path = QFileDialog.getExistingDirectory(self, self.caption or self.toolTip, self._path)
        if path:
            self._set_directory(path)
        return path

    def _show(self) -> None:
        self._button.setText(self.text or self._path)
