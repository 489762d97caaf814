"""Prompt maps: where the prompt of each class responds in the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer

from CPS4SegmentLib.sections.hidden_result import hide_only
from CPS4SegmentLib.sections.map_views import MapViews
from CPS4SegmentLib.sections.maps_problem import maps_problem, own_prompt_problem
from CPS4SegmentLib.sections.maps_run import MapsRun
from CPS4SegmentLib.sections.reporting import says_errors
from CPS4SegmentLib.sections.run_progress import RunProgress
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.threshold_text import threshold_text
from CPS4SegmentLib.sections.volume_maps import VolumeMaps
from CPS4SegmentLib.sections.waiting import waits_until

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel

PREVIOUS_KEY, NEXT_KEY = ",", "."
"""In slice views the brackets change the volume and the arrows the slice."""

NO_MAPS = "Compute the prompt maps first"


class MapsSection(Section):
    """Computes prompt maps in the worker and shows them one by one or all at once."""

    FILE = "MapsSection"
    BUTTON = "mapsCollapsibleButton"

    def __init__(self, panel: Panel):
        Section.__init__(self, panel)
        self._maps: dict[str, VolumeMaps] = {}
        self._listed: list[str] = []
        self._entered = False
        self._views = MapViews(self._show_threshold)
        self._run = MapsRun(panel)
        self._progress = RunProgress(self.ui.mapsProgressBar, self.ui.mapsTimeLabel)
        ui = self.ui
        ui.computeButton.connect("clicked()", self._compute)
        ui.cancelMapsButton.connect("clicked()", self._cancel)
        ui.ownPromptButton.connect("clicked()", self._compute_own)
        ui.ownPromptEdit.connect("returnPressed()", ui.ownPromptButton.click)
        ui.classSelector.connect("activated(int)", self._choose)
        ui.previousClassButton.connect("clicked()", lambda: self._step(-1))
        ui.nextClassButton.connect("clicked()", lambda: self._step(1))
        ui.oneClassButton.connect("clicked()", self._show)
        ui.allClassesButton.connect("clicked()", self._show)
        ui.hideMapsButton.connect("clicked()", self._hide)
        ui.withoutResultCheckBox.connect("toggled(bool)", self._show_result)
        self.button.connect("contentsCollapsed(bool)", self._show_result)
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
        here = slicer.mrmlScene.GetNodeByID
        self._maps = {volume: maps for volume, maps in self._maps.items() if here(volume)}
        self._show_buttons()
        self._show_list()
        self._show()

    def enter(self) -> None:
        self._entered = True

    def exit(self) -> None:
        self._entered = False
        self._show_result()

    def close(self) -> None:
        """Stop computing, forget the maps and delete their files."""
        if self._run.running:
            self.panel.say(
                "The scene was closed. The prompt maps that were being computed were stopped.",
                "warning",
            )
        self._run.forget()
        self._views.forget()
        self._show_result()
        self._maps.clear()
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
        volume, model = self._volume, self._model

        def done(result: dict[str, Any]) -> None:
            self._end()
            if volume.GetScene() is None:
                self.panel.say("The volume of the prompt maps was removed meanwhile.", "warning")
                return
            maps = self._maps.setdefault(volume.GetID(), VolumeMaps())
            names = maps.add(result, str((model or {}).get("name", "")), own=prompts is not None)
            self.panel.say(f"{volume.GetName()}: {_count(names)} ready.")
            self._open(maps, names)

        def failed(reason: str) -> None:
            self._end()
            self.panel.say(reason, "error")
            self.panel.changed()

        def cancelled() -> None:
            self._end()
            self.panel.say("The prompt maps were cancelled; those computed before stay.")
            self.panel.changed()

        self._run.start(volume, model, prompts, self._take, done, failed, cancelled)
        if wait := waits_until(self._run.request):
            self.panel.say(f"The prompt maps wait until {wait}.")
        self._progress.start()
        self.ui.cancelMapsButton.setVisible(True)
        self.panel.changed()

    def _cancel(self) -> None:
        self._run.cancel()
        if self._run.running:
            self.ui.cancelMapsButton.setText("Stopping...")
            self.ui.cancelMapsButton.setEnabled(False)

    @property
    def _model(self) -> dict[str, Any] | None:
        return self.panel.discovery.find_model(self.panel.parameters.model)

    def _open(self, maps: VolumeMaps, names: list[str]) -> None:
        """Show one of the new maps: the class chosen before, else the first one."""
        if maps is not self._current:
            return
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
        self.ui.cancelMapsButton.setText("Cancel")
        self.ui.cancelMapsButton.setEnabled(True)
        self.ui.cancelMapsButton.setVisible(False)

    def _show_buttons(self) -> None:
        """What can be pressed, and in the tooltips what is missing."""
        model = self._model
        problem = maps_problem(self.panel, self._volume, model)
        if self._run.running:
            problem = "Prompt maps are being computed"
        hint = "" if self._run.running else problem or self._current.origin(model)
        self.ui.mapsHintLabel.setText(hint)
        self.ui.mapsHintLabel.setVisible(bool(hint))
        self.ui.computeButton.setEnabled(not problem)
        self.ui.computeButton.setToolTip(
            problem or "Compute where each class's prompt responds in the input volume"
        )
        problem = problem or own_prompt_problem(model, self.ui.ownPromptEdit.text.strip())
        self.ui.ownPromptButton.setEnabled(not problem)
        self.ui.ownPromptButton.setToolTip(problem or "Compute the map of this prompt")

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
        """Bring the views to what is chosen."""
        parameters, maps = self.panel.parameters, self._current
        name = parameters.promptClass
        if self.ui.oneClassButton.checked and name in maps.prompts:
            look = parameters.mapOpacity, parameters.mapOutline
            self._views.show_one(self._volume, maps, name, *look)
        elif self.ui.allClassesButton.checked and maps.integrated:
            self._views.show_all(self._volume, maps)
        else:
            self._views.hide()
        self._show_result()
        self._show_threshold()

    def _hide(self) -> None:
        self._views.hide(always=True)
        self._show_result()
        self._show_threshold()

    def _show_result(self) -> None:
        """The result would cover the maps; it is hidden while this section is looked at."""
        looking = self._entered and not self.button.collapsed and self._views.shown
        hide = looking and self.ui.withoutResultCheckBox.checked and self.panel.parameters
        hide_only(self.panel.parameters.segmentation if hide else None)

    def _show_threshold(self) -> None:
        text = "\N{EN DASH}"
        if self._views.one and self.panel.parameters:
            maps, name = self._current, self.panel.parameters.promptClass
            if name in maps.prompts and maps.slice_axis:
                text = threshold_text(maps.prompts[name], maps.slice_axis, self._volume)
        self.ui.thresholdLabel.setText(text)


def _count(names: list[str]) -> str:
    return "one prompt map is" if len(names) == 1 else f"{len(names)} prompt maps are"


def _shortcut(key: str, button: Any, tip: str) -> Any:
    """A key that clicks a button while the section is open, whichever view has the focus."""
    button.setToolTip(f"{tip} (key: {key})")
    shortcut = qt.QShortcut(qt.QKeySequence(key), button)
    shortcut.connect("activated()", button.click)
    return shortcut
