"""What the widget files share: properties that are only kept, and observers on MRML objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Property


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
    """Observers on VTK objects that one widget holds."""

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def add(self, target: Any, event: Any, function: Callable[..., Any]) -> None:
        """Call `function(caller, event)` on each event."""
        self._tags.append((target, target.AddObserver(event, function)))

    def clear(self) -> None:
        """Remove them all."""
        for target, tag in self._tags:
            target.RemoveObserver(tag)
        self._tags.clear()
