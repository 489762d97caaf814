"""Works the module's panel as a user would, for the tests of its sections."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
import slicer.util
from CPS4SegmentLib import worker_client
from machine import MODULE, choose, pump
from recording_worker import RecordingWorker


def open_module(load_module: Any, monkeypatch: Any) -> Driver:
    """Load the module with a worker that the test answers for, and with Slicer's default settings.

    load_module: conftest's fixture.
    """
    qt.QSettings().remove("CPS4SpineSegment")
    monkeypatch.setattr(worker_client, "WorkerClient", RecordingWorker)
    _, widget = load_module(MODULE)
    return Driver(widget)


class Driver:
    """The opened panel: its widgets, its parameters and the worker that the test answers for."""

    def __init__(self, widget: Any):
        self.widget, self.panel = widget, widget.panel
        self.worker = widget.logic.worker
        self.lines: list[tuple[str, str]] = []
        self.panel.listeners.append(lambda text, level: self.lines.append((level, text)))

    @property
    def ui(self) -> Any:
        """All named widgets of the panel."""
        return self.panel.ui

    @property
    def parameters(self) -> Any:
        """The wrapped parameter node."""
        return self.panel.parameters

    def said(self, level: str) -> list[str]:
        """What the status line said at that level, oldest first."""
        return [text for said, text in self.lines if said == level]

    def open(self, section: str) -> None:
        """Enter the module with one section open; `section` is review, maps or correct."""
        for name in ("setup", "segment", "review", "maps", "correct"):
            getattr(self.ui, f"{name}CollapsibleButton").collapsed = name != section
        self.widget.parent.show()
        self.widget.enter()
        slicer.app.processEvents()

    def offer_models(self, *models: dict[str, Any]) -> None:
        """Answer what the panel asks for at its start; all packages are there."""
        self.panel.requirements.lacking = []
        if not any(request.command == "models" for request in self.worker.requests):
            self.panel.discovery.look()
        self.worker.last("models").finish({"models": list(models)})

    def rest(self, seconds: float = 0.4) -> None:
        """Let timers of the panel run out."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.02)

    def wait_for(self, happened: Callable[[], Any], seconds: float = 60) -> None:
        """Run the event loop until something is so."""
        pump(happened, seconds)

    def import_result(self, result: dict[str, Any]) -> Any:
        """Put a result into the scene and choose it."""
        from CPS4SegmentLib.segmentation_import import import_result

        node = import_result(result, self.parameters.inputVolume, self.parameters.segmentation)
        self.parameters.segmentation = node
        self.rest()
        return node

    def segment_id(self, name: str) -> str:
        """Id of the segment of that name."""
        contents = self.parameters.segmentation.GetSegmentation()
        return contents.GetSegmentIdBySegmentName(name)

    def choose(self, combo: Any, text: str) -> None:
        """Choose an entry of a QComboBox by mouse."""
        index = combo.findText(text)
        assert index >= 0, f"{text} is not offered"
        choose(combo, index)

    def click_at(self, widget: Any, place: Any) -> None:
        """Press and release the left mouse button at a point of a widget."""
        for kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseButtonRelease):
            self._send(
                widget,
                qt.QMouseEvent(
                    kind,
                    qt.QPointF(place),
                    qt.QPointF(widget.mapToGlobal(place)),
                    qt.Qt.LeftButton,
                    qt.Qt.LeftButton,
                    qt.Qt.NoModifier,
                ),
            )

    def press(self, widget: Any, key: Any) -> None:
        """Press and release a key in a widget."""
        for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            self._send(widget, qt.QKeyEvent(kind, key, qt.Qt.NoModifier))

    def type_into(self, line: Any, text: str) -> None:
        """Replace the text of a QLineEdit as by keyboard."""
        line.setText(text)
        line.textEdited(text)

    def type_key(self, character: str) -> None:
        """Type a character where the focus is: a shortcut may take it, as in the application."""
        window = self.widget.parent.window()
        window.activateWindow()
        slicer.app.processEvents()
        target = slicer.app.focusWidget() or window
        key = getattr(qt.Qt, {",": "Key_Comma", ".": "Key_Period"}[character])
        for kind in (qt.QEvent.ShortcutOverride, qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            event = qt.QKeyEvent(kind, key, qt.Qt.NoModifier, character)
            self._send(target, event)
        slicer.app.processEvents()

    def save_and_load(self, path: Path) -> None:
        """Save the scene as .mrb, close it and load it again."""
        assert slicer.util.saveScene(str(path))
        slicer.mrmlScene.Clear(0)
        assert self.parameters.inputVolume is None
        slicer.util.loadScene(str(path))
        self.rest()

    @staticmethod
    def _send(widget: Any, event: Any) -> None:
        qt.QCoreApplication.sendEvent(widget, event)
