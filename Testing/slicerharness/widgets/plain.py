"""What the widget files share: properties that are only kept, and observers on MRML objects."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Property, QObject


def kept(qt_type: Any, default: Any, changed: Callable[[Any], None] | None = None) -> Any:
    """A Qt property that keeps its value and then calls `changed(self)`."""
    key = object()

    def read(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def write(self: Any, value: Any) -> None:
        self.__dict__[key] = value
        if changed:
            changed(self)

    return Property(qt_type, read, write)


class Observers:
    """Observers on VTK objects that one widget holds, as long as it lives."""

    def __init__(self, owner: QObject):
        self._tags: list[tuple[Any, int]] = []
        owner.destroyed.connect(self.clear)

    def add(self, target: Any, event: Any, method: Callable[[], Any]) -> None:
        """Call the widget's method on each event; that does not keep the widget alive."""
        reference = weakref.WeakMethod(method)

        def call(*_: Any) -> None:
            alive = reference()
            if alive is not None:
                alive()

        self._tags.append((target, target.AddObserver(event, call)))

    def clear(self, *_: Any) -> None:
        """Remove them all."""
        for target, tag in self._tags:
            target.RemoveObserver(tag)
        self._tags.clear()
