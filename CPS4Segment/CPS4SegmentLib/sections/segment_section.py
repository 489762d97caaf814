"""Section Segment: the volume, the model, one button that starts and stops, progress, messages."""

from __future__ import annotations

from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.fingerprint import was_corrected
from CPS4SegmentLib.scene_choice import active_volume, result_of, volume_of
from CPS4SegmentLib.sections.model_list import ModelList
from CPS4SegmentLib.sections.run_progress import RunProgress
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.waiting import waits_until
from CPS4SegmentLib.segmentation_import import show_3d
from CPS4SegmentLib.segmentation_run import SegmentationRun
from CPS4SegmentLib.volume_export import volume_problem

REPLACE = (
    'The segmentation "{name}" was changed since it was made.\n\nReplace it by the new result?'
    " The changes are lost then. With No, the new result goes beside it."
)


class SegmentSection(Section):
    """Idle, running or stopping: `_run` says which. `_problem` says what is missing to start."""

    FILE, BUTTON = "SegmentSection", "segmentCollapsibleButton"

    def __init__(self, panel: Any):
        super().__init__(panel)
        self._run: SegmentationRun | None = None
        self._waiting = False
        self._followed: Any = None
        self._shown_3d: Any = None
        self._models = ModelList(self.ui.modelComboBox, self.ui.modelDetailLabel, panel)
        self._progress = RunProgress(self.ui.progressBar, self.ui.timeLabel)
        self.ui.applyButton.connect("clicked(bool)", self._apply_or_cancel)
        self.ui.addModelButton.connect("clicked(bool)", panel.add_model_folder)
        panel.listeners.append(self._log)

    def enter(self) -> None:
        if self.panel.parameters.inputVolume is None:
            self.panel.parameters.inputVolume = active_volume()

    def refresh(self) -> None:
        if self._run is not None and self._run.volume_is_gone:
            self._abandon("The input volume was removed. Its segmentation was stopped.")
        self._models.show()
        self._follow_volume()
        self._apply_3d()
        self._show_button()

    def close(self) -> None:
        if self._run is not None:
            self._abandon("The scene was closed. The segmentation that was running was stopped.")
        self._followed = self._shown_3d = None

    def _problem(self) -> str:
        """Why the button cannot be pressed, with what to do about it; empty if it can."""
        requirements, discovery = self.panel.requirements, self.panel.discovery
        if requirements.lacking:
            return "Some Python packages are missing. Install them in the section Setup."
        problem = volume_problem(self.panel.parameters.inputVolume)
        if problem:
            return problem
        if discovery.models is None:
            return discovery.problem or "Looking for models..."
        model = self._models.chosen
        if model is None:
            wanted = self.panel.parameters.model
            if wanted:
                return (
                    f"The model {wanted} is not on this machine. Choose another, or add its folder."
                )
            return "No model is installed. Add a model's folder."
        return str(model.get("problem") or "")

    def _show_button(self) -> None:
        button, run = self.ui.applyButton, self._run
        if run is None:
            problem = self._problem()
            button.text, button.enabled = "Segment", not problem
            button.toolTip = problem or "Segment the input volume and name its vertebrae and discs"
            self.ui.hintLabel.setText(problem)
            self.ui.hintLabel.setVisible(bool(problem))
            return
        button.text = "Stopping..." if run.stopping else "Cancel"
        button.enabled = not run.stopping
        button.toolTip = (
            "It stops in a few seconds" if run.stopping else "Stop; the scene stays as it is"
        )
        self.ui.hintLabel.setVisible(False)

    def _apply_or_cancel(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._show_button()
        elif not self._problem():
            self._apply()
        if self.panel.parameters is not None:
            self.panel.changed()

    def _apply(self) -> None:
        volume = self.panel.parameters.inputVolume
        target = result_of(volume)
        if target is not None and was_corrected(target):
            target = target if self.panel.ask(REPLACE.format(name=target.GetName())) else None
        model = self._models.chosen or {}
        run = SegmentationRun(
            self.panel.worker,
            volume,
            str(model.get("folder") or model.get("name")),
            self.panel.discovery.usable_device,
            target,
        )
        try:
            run.start(self._event, self._done, self._failed, self._cancelled)
        except CPS4Error as error:
            self.panel.say(str(error), "error")
            return
        self._run = run
        self._progress.start()
        wait = waits_until(run.request)
        self._waiting = bool(wait)
        if wait:
            self.panel.say(f"{volume.GetName()} waits until {wait}.")
        else:
            self._say_that_it_runs(run)

    def _say_that_it_runs(self, run: SegmentationRun) -> None:
        self.panel.say(f"Segmenting {run.volume.GetName()}...")

    def _event(self, event: dict) -> None:
        if self._waiting and self._run is not None:
            self._waiting = False
            self._say_that_it_runs(self._run)
        if event.get("event") == "message":
            self.panel.say(str(event.get("message")), str(event.get("level") or "info"))
        self._progress.take(event)

    def _done(self, segmentation: Any) -> None:
        run = self._end()
        parameters = self.panel.parameters
        if parameters is not None and parameters.inputVolume is run.volume:
            parameters.segmentation = segmentation
            self._shown_3d = None
        result = run.request.result
        count = len(result.get("structures") or [])
        took = _duration(result.get("seconds"))
        text = f"{run.volume.GetName()}: {count} structures in {took} ({result.get('engine')})."
        if not run.warnings:
            self.panel.say(text)
        else:
            for warning in run.warnings[1:]:
                self._log(warning, "warning")
            more = len(run.warnings) - 1
            rest = f" (and {more} more, see Messages)" if more else ""
            self.panel.say(f"{text} {run.warnings[0]}{rest}", "warning")
        self.panel.changed()

    def _failed(self, reason: str) -> None:
        self._end()
        self.panel.say(reason, "error")
        self.panel.changed()

    def _cancelled(self) -> None:
        self._end()
        self.panel.say("Cancelled. The scene is as it was.")
        self.panel.changed()

    def _end(self) -> Any:
        run, self._run = self._run, None
        self._progress.stop()
        return run

    def _abandon(self, text: str) -> None:
        self._end().forget()
        self.panel.say(text, "warning")

    def _follow_volume(self) -> None:
        """When another input volume is chosen, show that volume's own result."""
        parameters = self.panel.parameters
        volume = parameters.inputVolume
        if volume is self._followed:
            return  # whichever segmentation the user has chosen since stays
        self._followed = volume
        if volume is not None and volume_of(parameters.segmentation) is not volume:
            parameters.segmentation = result_of(volume)

    def _apply_3d(self) -> None:
        parameters = self.panel.parameters
        wanted = (parameters.segmentation, bool(parameters.show3D))
        if wanted != self._shown_3d:
            self._shown_3d = wanted
            if wanted[0] is not None:
                show_3d(*wanted)

    def _log(self, text: str, level: str) -> None:
        prefix = "" if level == "info" else f"{level.capitalize()}: "
        self.ui.logTextEdit.appendPlainText(prefix + text)


def _duration(seconds: Any) -> str:
    return f"{seconds:.0f} s" if isinstance(seconds, (int, float)) and seconds >= 1 else "a moment"
