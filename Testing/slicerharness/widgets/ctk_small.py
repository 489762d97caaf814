"""CTK widgets that are a Qt widget with a little more."""

from __future__ import annotations

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QColor, QIcon
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QMessageBox, QPushButton

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.plain import kept


@cpp_class
class ctkComboBox(QComboBox):  # noqa: N801
    """A combo box with a text for "nothing chosen"."""

    currentUserDataAsStringChanged = Signal(str)
    defaultIcon = kept(QIcon, QIcon())
    forceDefault = kept(bool, False)
    defaultText = kept(str, "", lambda self: self.setPlaceholderText(self.defaultText))

    def setCurrentUserDataAsString(self, data: str) -> None:
        index = self.findData(data)
        if index != self.currentIndex:
            self.setCurrentIndex(index)
            emit(self, "currentUserDataAsStringChanged", data)

    currentUserDataAsString = Property(
        str, lambda self: str(self.currentData or ""), setCurrentUserDataAsString
    )


@cpp_class
class ctkMessageBox(QMessageBox):  # noqa: N801
    """A message box that can be switched off for good."""

    dontShowAgain = kept(bool, False)
    dontShowAgainSettingsKey = kept(str, "")
    dontShowAgainVisible = kept(bool, False)


@cpp_class
class ctkCheckablePushButton(QPushButton):  # noqa: N801
    """A push button with a check box in it, which is not drawn here."""


@cpp_class
class ctkDoubleSpinBox(QDoubleSpinBox):  # noqa: N801
    """A spin box for numbers."""


@cpp_class
class ctkColorPickerButton(QPushButton):  # noqa: N801
    """A button that shows a colour."""

    colorChanged = Signal(QColor)
    displayColorName = kept(bool, True)
    color = kept(QColor, QColor(Qt.GlobalColor.black), lambda self: self._announce())

    def _announce(self) -> None:
        emit(self, "colorChanged", self.color)
