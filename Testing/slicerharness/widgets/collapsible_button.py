"""ctkCollapsibleButton: a button over its contents that shows and hides them."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QObject, QRect, QSize, Qt, Signal
from PySide6.QtWidgets import QAbstractButton, QStyle, QStyleOptionButton, QStylePainter, QWidget

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.widgets.plain import kept

HEADER = 24


def _apply(self: Any) -> None:
    self._apply_collapsed()


@cpp_class
class ctkCollapsibleButton(QAbstractButton):  # noqa: N801
    """Collapsed by the property `collapsed` or a click on its header."""

    contentsCollapsed = Signal(bool)
    collapsed = kept(bool, False, _apply)
    collapsedHeight = kept(int, 0)

    def __init__(self, *arguments: Any):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        parent = arguments[-1] if arguments and isinstance(arguments[-1], QWidget) else None
        super().__init__(parent)
        self._was_collapsed = False
        self._hidden_before: set[int] = set()
        self.setText(text)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.clicked.connect(lambda: setattr(self, "collapsed", not self.collapsed))

    def _apply_collapsed(self) -> None:
        if self.collapsed == self._was_collapsed:
            return
        self._was_collapsed = self.collapsed
        for child in self._contents():
            if self.collapsed:
                if child.isHidden():
                    self._hidden_before.add(id(child))
                child.setVisible(False)
            else:
                child.setVisible(id(child) not in self._hidden_before)
        if not self.collapsed:
            self._hidden_before.clear()
        self.updateGeometry()
        emit(self, "contentsCollapsed", self.collapsed)

    def _contents(self) -> list[QWidget]:
        return [child for child in QObject.children(self) if isinstance(child, QWidget)]

    def childEvent(self, event: Any) -> None:
        if event.type() == QEvent.Type.ChildPolished and self.collapsed:
            child = event.child()
            if isinstance(child, QWidget):
                child.setVisible(False)
        super().childEvent(event)

    def hitButton(self, position: Any) -> bool:
        return position.y() < HEADER

    def sizeHint(self) -> QSize:
        layout = self.layout()
        if layout is None or self.collapsed:
            return QSize(120, HEADER)
        return layout.totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        layout = self.layout()
        if layout is None or self.collapsed:
            return QSize(80, HEADER)
        return layout.totalMinimumSize()

    def paintEvent(self, event: Any) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.rect.width(), HEADER)
        painter.drawControl(QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = "▸" if self.collapsed else "▾"
        rectangle = option.rect.adjusted(8, 0, -8, 0)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(rectangle, int(flags), f"{arrow}  {self.text}")
        painter.end()
