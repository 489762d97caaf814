"""What the sections share: the frame, the parameters, the worker and the status line."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from CPS4SegmentLib.discovery import Discovery
from CPS4SegmentLib.machine_settings import MachineSettings
from CPS4SegmentLib.requirements import Requirements
from CPS4SegmentLib.sections import SECTIONS

_COLORS = {"info": "", "warning": "color: #b06000;", "error": "color: #c02020;"}
_CONNECTED: list[Any] = []
"""Every wrapper that was connected to widgets. Slicer before 5.12 leaves its observer on the node,
and crashes at the node's next change once Python's garbage collection has taken the wrapper."""


class Panel:
    """The panel without its contents, which the sections bring.

    frame: the widget to show. ui: all named widgets, of the sections too (names are unique).
    parameters: the wrapped parameter node; None while a scene is being closed.
    listeners: called with (text, level) for every line that `say` gets.
    """

    def __init__(self, logic: Any, settings: MachineSettings, resource_path: Callable[[str], str]):
        self.logic = logic
        self.worker = logic.worker
        self.settings = settings
        self.resource_path = resource_path
        self.parameters: Any = None
        self.listeners: list[Callable[[str, str], None]] = []
        self.requirements = Requirements()
        self.discovery = Discovery(self.worker, settings, self.changed, self.say)
        self._gui: Any = None
        self._observer: Any = None
        self._refreshing = self._again = False
        self._closed = False

        self.frame = slicer.util.loadUI(resource_path("UI/CPS4Segment.ui"))
        self.ui = slicer.util.childWidgetVariables(self.frame)
        self.sections = [section(self) for section in SECTIONS]
        self.ui = slicer.util.childWidgetVariables(self.frame)
        self.frame.setMRMLScene(slicer.mrmlScene)
        self._connect_parameters()

    def load_section(self, name: str, button: str) -> Any:
        """Load `UI/NAME.ui` into the collapsible button of that name; return its named widgets."""
        widget = slicer.util.loadUI(self.resource_path(f"UI/{name}.ui"))
        getattr(self.ui, button).layout().addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        return slicer.util.childWidgetVariables(widget)

    def say(self, text: str, level: str = "info") -> None:
        """Put a line where the user sees it; `level` is info, warning or error.

        It does not go to Slicer's log file: such lines name volumes, which may be patients' names.
        """
        self.ui.statusLabel.setStyleSheet(_COLORS[level])
        self.ui.statusLabel.setText(text)
        for listener in self.listeners:
            listener(text, level)

    def ask(self, question: str) -> bool:
        """Ask a question that yes or no answers; closing the box means no.

        Not by confirmYesNoDisplay, which writes the question to Slicer's log file.
        """
        given = slicer.util.messageBox(
            question,
            windowTitle="CPS4 Spine Segment",
            icon=qt.QMessageBox.Question,
            standardButtons=qt.QMessageBox.Yes | qt.QMessageBox.No,
            textFormat=qt.Qt.PlainText,
        )
        return bool(given == qt.QMessageBox.Yes)

    def add_model_folder(self) -> None:
        """Let the user choose a folder with models, and look what is in it."""
        folder = qt.QFileDialog.getExistingDirectory(self.frame, "Folder with a model or models")
        if not folder:
            return
        folder = os.path.normpath(str(folder))
        self.settings.model_folders = [*self.settings.model_folders, folder]

        def say_what_came() -> None:
            inside = [m for m in self.discovery.models or [] if _is_in(str(m["folder"]), folder)]
            for model in inside:
                problem = model.get("problem")
                self.say(
                    str(problem) if problem else f"Added the model {model['name']}.",
                    "warning" if problem else "info",
                )

        self.discovery.look_for_models(say_what_came)
        self.changed()

    def changed(self) -> None:
        """Let every section show what is so now; called on every change of parameters or scene.

        While a scene is being read its nodes come one by one; all is shown at the end.
        """
        if slicer.mrmlScene.IsImporting():
            return
        if self._refreshing:
            self._again = True  # a section changed a parameter while it was shown
            return
        self._refreshing = True
        try:
            self._again = True
            while self._again and self.parameters is not None:
                self._again = False
                for section in self.sections:
                    section.refresh()
        finally:
            self._refreshing = False

    def enter(self) -> None:
        """The user opened the module."""
        for section in self.sections:
            section.enter()
        self.changed()

    def exit(self) -> None:
        """The user went to another module; what runs goes on."""
        for section in self.sections:
            section.exit()

    def scene_closes(self) -> None:
        """The scene is about to be closed: stop what runs, let go of its nodes."""
        for section in self.sections:
            section.close()
        self._disconnect_parameters()

    def scene_closed(self) -> None:
        """The scene is empty now: begin anew."""
        if not self._closed:
            self._connect_parameters()
            self.changed()

    def close(self) -> None:
        """The panel is being taken down."""
        self._closed = True
        self.scene_closes()
        for section in self.sections:
            section.end()

    def _connect_parameters(self) -> None:
        self.parameters = self.logic.getParameterNode()
        _CONNECTED.append(self.parameters)
        # Not connectGui: it returns no tag in some versions of Slicer and cannot be undone then.
        widgets = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
        self._gui = self.parameters.connectParametersToGui({n: w for n, w in widgets.items() if n})
        self._observer = self.parameters.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_: self.changed()
        )

    def _disconnect_parameters(self) -> None:
        if self.parameters is not None:
            self.parameters.RemoveObserver(self._observer)
            self.parameters.disconnectGui(self._gui)
            self.parameters = None


def _is_in(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(os.path.normpath(path)), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
