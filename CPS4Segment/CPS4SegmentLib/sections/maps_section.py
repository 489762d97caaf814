"""Prompt maps: where the prompt of each class responds in the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import vtk
from CPS4Core.schema import schema_from_dict
from slicer.util import VTKObservationMixin

from CPS4SegmentLib import prompt_map_view
from CPS4SegmentLib.sections.maps_run import MapsRun
from CPS4SegmentLib.sections.reporting import says_errors
from CPS4SegmentLib.sections.run_progress import RunProgress
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.threshold_text import slice_nodes, threshold_text
from CPS4SegmentLib.sections.volume_maps import VolumeMaps
from CPS4SegmentLib.volume_export import volume_problem

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel

PREVIOUS_KEY, NEXT_KEY = ",", "."
"""In slice views the brackets change the volume and the arrows the slice."""

NO_MAPS = "Compute the prompt maps first"


class MapsSection(Section, VTKObservationMixin):
    """Computes prompt maps in the worker and shows them one by one or all at once."""

    FILE = "MapsSection"
    BUTTON = "mapsCollapsibleButton"

    def __init__(self, panel: Panel):
        Section.__init__(self, panel)
        VTKObservationMixin.__init__(self)
        self._maps: dict[str, VolumeMaps] = {}
        self._listed: list[str] = []
        self._on_screen: tuple[str, ...] = ()
        self._run = MapsRun(panel)
        self._progress = RunProgress(self.ui.mapsProgressBar, self.ui.mapsTimeLabel)
        ui = self.ui
        ui.computeButton.connect("clicked()", self._compute)
        ui.cancelMapsButton.connect("clicked()", self._run.cancel)
        ui.ownPromptButton.connect("clicked()", self._compute_own)
        ui.ownPromptEdit.connect("returnPressed()", ui.ownPromptButton.click)
        ui.classSelector.connect("activated(int)", self._choose)
        ui.previousClassButton.connect("clicked()", lambda: self._step(-1))
        ui.nextClassButton.connect("clicked()", lambda: self._step(1))
        ui.oneClassButton.connect("clicked()", self._show)
        ui.allClassesButton.connect("clicked()", self._show)
        ui.hideMapsButton.connect("clicked()", self._hide)
        self._keys = [
            _shortcut(PREVIOUS_KEY, ui.previousClassButton, "Previous class"),
            _shortcut(NEXT_KEY, ui.nextClassButton, "Next class"),
        ]
        self._end()

    @property
    def _volume(self) -> Any:
        return self.panel.parameters.inputVolume if self.panel.parameters else None

    @property
    def _current(self) -> VolumeMaps:
        """The maps of the chosen volume; empty where there are none."""
        volume = self._volume
        return self._maps.get(volume.GetID(), VolumeMaps()) if volume else VolumeMaps()

    def refresh(self) -> None:
        """Buttons, list of classes and views for the chosen volume, class and opacity."""
        self._show_buttons()
        self._show_list()
        self._show()

    def close(self) -> None:
        """Stop computing, forget the maps and delete their files."""
        self._run.forget()
        self.removeObservers()
        self._maps.clear()
        self._on_screen = ()
        self.ui.hideMapsButton.setChecked(True)
        self._end()
        self._show_list()

    @says_errors
    def _compute(self) -> None:
        self._start(None)

    @says_errors
    def _compute_own(self) -> None:
        self._start([self.ui.ownPromptEdit.text.strip()])

    def _start(self, prompts: list[str] | None) -> None:
        volume_id = self._volume.GetID()

        def done(result: dict[str, Any]) -> None:
            self._end()
            maps = self._maps.setdefault(volume_id, VolumeMaps())
            names = maps.add(result, own=prompts is not None)
            self.panel.say(f"Prompt maps are ready: {len(names)} prompts.")
            self._open(maps, names)

        def failed(reason: str) -> None:
            self._end()
            self.panel.say(reason, "error")
            self.panel.changed()

        def cancelled() -> None:
            self._end()
            self.panel.say("The prompt maps were cancelled; those computed before stay.")
            self.panel.changed()

        self._run.start(
            self._volume, self._model, prompts, self._take, done, failed, cancelled
        )
        self._progress.start()
        self.ui.cancelMapsButton.setVisible(True)
        self.panel.changed()

    @property
    def _model(self) -> dict[str, Any] | None:
        return self.panel.discovery.find_model(self.panel.parameters.model)

    def _open(self, maps: VolumeMaps, names: list[str]) -> None:
        """Show one of the new maps: the class chosen before, else the first one."""
        if maps is not self._current:
            return
        self._on_screen = ()
        self.ui.oneClassButton.setChecked(True)
        chosen = self.panel.parameters.promptClass
        self.panel.parameters.promptClass = chosen if chosen in names else maps.first(names)
        self.panel.changed()

    def _choose(self, index: int) -> None:
        self.ui.oneClassButton.setChecked(True)
        self.panel.parameters.promptClass = self._listed[index]
        self.panel.changed()

    def _step(self, step: int) -> None:
        name = self._current.neighbour(self.panel.parameters.promptClass, step)
        if name is not None:
            self._choose(self._listed.index(name))

    def _take(self, event: dict[str, Any]) -> None:
        """The worker's progress in the bar, its messages in the status line."""
        if event.get("event") == "message":
            self.panel.say(str(event.get("message")), str(event.get("level") or "info"))
        self._progress.take(event)

    def _end(self) -> None:
        self._progress.stop()
        self.ui.cancelMapsButton.setVisible(False)

    def _show_buttons(self) -> None:
        """What can be pressed, and in the tooltips what is missing."""
        model = self._model
        problem = self._missing(model)
        self.ui.mapsHintLabel.setText(problem)
        self.ui.mapsHintLabel.setVisible(bool(problem) and not self._run.running)
        self.ui.computeButton.setEnabled(not problem)
        self.ui.computeButton.setToolTip(
            problem or "Compute where each class's prompt responds in the chosen volume"
        )
        if not problem and model and not model.get("new_prompts", True):
            problem = "The chosen model was saved without its text encoder: no prompts of one's own"
        if not problem and not self.ui.ownPromptEdit.text.strip():
            problem = "Write a prompt to the left"
        self.ui.ownPromptButton.setEnabled(not problem)
        self.ui.ownPromptButton.setToolTip(problem or "Compute the map of this prompt")

    def _missing(self, model: dict[str, Any] | None) -> str:
        if self._run.running:
            return "Prompt maps are being computed"
        if model and not model.get("prompt_maps", True):
            return "The chosen model has no prompt maps: choose one trained with the method cps4"
        problem = str((model or {}).get("problem") or "")
        return volume_problem(self._volume) or problem

    def _show_list(self) -> None:
        maps = self._current
        chosen = self.panel.parameters.promptClass if self.panel.parameters else ""
        selector = self.ui.classSelector
        if self._listed != maps.names:
            self._listed = maps.names
            selector.clear()
            selector.addItems([maps.title(name) for name in self._listed])
        if chosen in self._listed:
            selector.setCurrentIndex(self._listed.index(chosen))
        here = bool(self._listed)
        for widget in (selector, self.ui.previousClassButton, self.ui.nextClassButton):
            widget.setEnabled(here)
        selector.setToolTip("The class whose map is shown" if here else NO_MAPS)
        self.ui.oneClassButton.setEnabled(here)
        self.ui.allClassesButton.setEnabled(maps.integrated is not None)
        known = here and chosen in self._listed
        self.ui.promptLabel.setText(maps.about(chosen) if known else "\N{EN DASH}")

    @says_errors
    def _show(self) -> None:
        """Bring the views to what is chosen; nothing is touched where they show it already."""
        parameters, maps = self.panel.parameters, self._current
        name = parameters.promptClass
        wanted: tuple[str, ...] = ()
        if self.ui.oneClassButton.checked and name in maps.prompts:
            wanted = ("one", self._volume.GetID(), maps.prompts[name]["map"])
        elif self.ui.allClassesButton.checked and maps.integrated:
            wanted = ("all", self._volume.GetID(), maps.integrated)
        if wanted != self._on_screen:
            self._change_views(wanted, maps)
        if wanted[:1] == ("one",):
            prompt_map_view.set_opacity(parameters.mapOpacity)
            prompt_map_view.set_outline(parameters.mapOutline)
        self._show_threshold()

    def _change_views(self, wanted: tuple[str, ...], maps: VolumeMaps) -> None:
        self.removeObservers()
        parameters = self.panel.parameters
        self._on_screen = wanted
        if wanted[:1] == ("one",):
            prompt = maps.prompts[parameters.promptClass]
            prompt_map_view.show_map(
                self._volume, prompt, parameters.mapOpacity, parameters.mapOutline
            )
            for node in slice_nodes():
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._show_threshold)
        elif wanted[:1] == ("all",):
            schema = schema_from_dict(maps.schema)
            prompt_map_view.show_integrated(self._volume, maps.integrated, schema)
        else:
            prompt_map_view.hide_map()

    @says_errors
    def _hide(self) -> None:
        """Hide whatever map is there, one that came with a loaded scene too."""
        prompt_map_view.hide_map()
        self._show()

    def _show_threshold(self, *_: Any) -> None:
        maps = self._current
        if self._on_screen[:1] == ("one",) and self.panel.parameters.promptClass in maps.prompts:
            prompt = maps.prompts[self.panel.parameters.promptClass]
            self.ui.thresholdLabel.setText(threshold_text(prompt, maps.slice_axis, self._volume))
        else:
            self.ui.thresholdLabel.setText("\N{EN DASH}")


def _shortcut(key: str, button: Any, tip: str) -> Any:
    """A key that clicks a button while the section is open, whichever view has the focus."""
    button.setToolTip(f"{tip} (key: {key})")
    shortcut = qt.QShortcut(qt.QKeySequence(key), button)
    shortcut.connect("activated()", button.click)
    return shortcut
