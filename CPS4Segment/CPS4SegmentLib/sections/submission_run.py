"""Handing a segmentation and its volume to a study, in the worker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.exchange import ExchangeFolder, in_words
from CPS4SegmentLib.label_export import export_labels
from CPS4SegmentLib.result_record import RESULT, read_record
from CPS4SegmentLib.sections.submission import Submission
from CPS4SegmentLib.volume_export import export_volume

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


END_SECONDS = 30.0
"""How long Slicer's end may wait for a submission."""


class SubmissionRun:
    """One submission at a time; the exported files are deleted when it is over.

    It goes on without the nodes that it came from: what was submitted shall not be lost because
    the scene is closed or Slicer ends meanwhile.
    """

    def __init__(self, panel: Panel):
        self._panel = panel
        self.request: Any = None

    @property
    def running(self) -> bool:
        """Whether an answer is still to come."""
        return self.request is not None and not self.request.over

    def start(
        self,
        submission: Submission,
        segmentation: Any,
        volume: Any,
        on_done: Callable[[dict[str, Any]], None],
        on_failed: Callable[[str], None],
    ) -> list[str]:
        """Export both nodes and submit them; returns what the export left out, in sentences.

        Raises CPS4Error where they cannot be exported.
        """
        folder = ExchangeFolder()
        image, label = folder.path / "volume.nrrd", folder.path / "label.nrrd"
        names = {image: volume.GetName() or "", label: segmentation.GetName() or ""}
        try:
            schema = schema_of(segmentation)
            export_volume(volume, str(image))
            left_out = export_labels(segmentation, volume, schema, str(label))
        except BaseException:
            folder.remove()
            raise

        def done(result: dict[str, Any]) -> None:
            folder.remove()
            on_done(result)

        def failed(reason: str) -> None:
            folder.remove()
            for file, name in names.items():
                reason = in_words(reason, file, name)
            on_failed(reason)

        self.request = self._panel.worker.submit(
            "submit",
            {
                "study": str(submission.folder),
                "case": submission.case,
                "volume": str(image),
                "label": str(label),
                "schema": schema.to_dict(),
                "author": submission.author,
                "model": (read_record(segmentation, RESULT) or {}).get("model"),
                "note": submission.note,
                "overwrite": False,
            },
            on_done=done,
            on_failed=failed,
            on_cancelled=lambda: failed("The submission was stopped; the study is as it was."),
        )
        return left_out

    def end(self) -> None:
        """Wait for what was submitted; the outcome is told as always."""
        if self.running:
            with suppress(CPS4Error):
                self._panel.worker.wait(self.request, END_SECONDS)
