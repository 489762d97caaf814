"""Correct: the Segment Editor, and the way of a correction into a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from CPS4SegmentLib.scene_choice import volume_of
from CPS4SegmentLib.sections.embedded_editor import EmbeddedEditor
from CPS4SegmentLib.sections.reporting import says_errors
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.submission import (
    Submission,
    looks_like_a_person,
    outcome,
    proposed_case_id,
)
from CPS4SegmentLib.sections.submission_run import SubmissionRun
from CPS4SegmentLib.sections.waiting import waits_until

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel

CASE = "CPS4.Case"
"""Attribute of a volume: the case id that the user gave it, saved with the scene."""

PERSON = (
    "This volume's name looks like a patient's. Give the case an id that does not tell who it is."
)


class CorrectSection(Section):
    """Edits the chosen segmentation and submits it with its volume."""

    FILE = "CorrectSection"
    BUTTON = "correctCollapsibleButton"

    def __init__(self, panel: Panel):
        Section.__init__(self, panel)
        ui = self.ui
        self._editor = EmbeddedEditor(ui.segmentEditor)
        self._run = SubmissionRun(panel)
        self._entered = False
        self._volume: Any = None
        self._named = ""
        ui.studyPath.currentPath = panel.settings.study_folder
        ui.authorEdit.setText(panel.settings.author)
        ui.studyPath.connect("currentPathChanged(QString)", self._keep_study)
        ui.authorEdit.connect("textChanged(QString)", self._keep_author)
        ui.caseEdit.connect("textEdited(QString)", self._keep_case)
        ui.caseEdit.connect("textChanged(QString)", self._show_button)
        ui.submitButton.connect("clicked()", self._submit)
        self.button.connect("contentsCollapsed(bool)", self._switch_editor)

    def refresh(self) -> None:
        """Follow the chosen segmentation, its volume and what is still missing."""
        segmentation = self._segmentation
        volume = volume_of(segmentation) or self.panel.parameters.inputVolume
        named = volume.GetName() if volume else ""
        if (volume, named) != (self._volume, self._named):
            self._volume, self._named = volume, named
            self._show_case()
        self._switch_editor()
        self.ui.segmentEditor.setEnabled(segmentation is not None)
        self.ui.editedLabel.setVisible(segmentation is None)
        self._show_button()

    def enter(self) -> None:
        self._entered = True
        self._switch_editor()

    def exit(self) -> None:
        self._entered = False
        self._switch_editor()

    def close(self) -> None:
        """Let the editor go; a submission that has begun goes on."""
        self._editor.let_go()
        self._volume = None
        self.ui.submittedLabel.setText("")

    def end(self) -> None:
        self._run.end()

    @property
    def _segmentation(self) -> Any:
        return self.panel.parameters.segmentation if self.panel.parameters else None

    def _switch_editor(self) -> None:
        """The editor listens while the module is shown and the section is open."""
        if self._entered and not self.button.collapsed and self.panel.parameters:
            self._editor.switch_on()
            self._editor.edit(self._segmentation, self._volume)
        else:
            self._editor.switch_off()

    def _entries(self) -> Submission:
        ui = self.ui
        return Submission(
            study=ui.studyPath.currentPath.strip(),
            case=ui.caseEdit.text.strip(),
            author=ui.authorEdit.text.strip(),
            note=ui.noteEdit.text.strip(),
        )

    def _show_case(self) -> None:
        """The volume's own case id, or a proposal from its name."""
        volume = self._volume
        name = volume.GetName() or "" if volume else ""
        given = volume.GetAttribute(CASE) if volume else None
        self.ui.caseEdit.setText(given or proposed_case_id(name))
        self.ui.caseWarningLabel.setText(PERSON)
        self.ui.caseWarningLabel.setVisible(looks_like_a_person(name))
        self.ui.submittedLabel.setText("")

    def _show_button(self) -> None:
        missing = self._entries().missing()
        if self.panel.requirements.lacking:
            missing.append("some Python packages (see the section Setup)")
        if self._volume is None:
            missing.insert(0, "the volume that was segmented")
        if self._segmentation is None:
            missing.insert(0, "a segmentation")
        if self._run.running:
            tip = "The correction is being submitted"
        elif missing:
            tip = f"Missing: {', '.join(missing)}"
        else:
            tip = "Copy this scan and its corrected labels into the study"
        self.ui.submitButton.setEnabled(not missing and not self._run.running)
        self.ui.submitButton.setToolTip(tip)

    def _keep_study(self) -> None:
        self.panel.settings.study_folder = self.ui.studyPath.currentPath.strip()
        self._show_button()

    def _keep_author(self) -> None:
        self.panel.settings.author = self.ui.authorEdit.text.strip()
        self._show_button()

    def _keep_case(self) -> None:
        if self._volume is not None:
            self._volume.SetAttribute(CASE, self.ui.caseEdit.text.strip() or None)

    @says_errors
    def _submit(self) -> None:
        submission = self._entries()
        if submission.makes_a_study and not self.panel.ask(
            f"There is no study in {submission.folder} yet.\n\nMake one there?"
        ):
            return

        def done(result: dict[str, Any]) -> None:
            if self._volume is volume:  # else another case is shown by now
                text = "\n".join([outcome(result, submission.folder), *left_out])
                self.ui.submittedLabel.setText(text)
                self.ui.noteEdit.setText("")
            self.panel.say(f"The correction of case {result['case']} is submitted.")
            self._show_button()

        def failed(reason: str) -> None:
            self.panel.say(reason, "error")
            self._show_button()

        self.ui.submittedLabel.setText("")
        volume = self._volume
        left_out = self._run.start(submission, self._segmentation, volume, done, failed)
        if wait := waits_until(self._run.request):
            self.panel.say(f"The correction waits until {wait}.")
        self._show_button()
