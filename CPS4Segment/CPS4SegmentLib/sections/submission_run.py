"""Handing a segmentation and its volume to a study, in the worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.label_export import export_labels
from CPS4SegmentLib.result_record import RESULT, read_record
from CPS4SegmentLib.sections.submission import Submission
from CPS4SegmentLib.volume_export import export_volume

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


class SubmissionRun:
    """One submission at a time; the exported files are deleted when it is over."""

    def __init__(self, panel: Panel):
        self._panel = panel
        self._folder: Path | None = None
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
        self._folder = Path(tempfile.mkdtemp(prefix="CPS4-", dir=slicer.app.temporaryPath))
        image, label = self._folder / "volume.nrrd", self._folder / "label.nrrd"
        try:
            schema = schema_of(segmentation)
            export_volume(volume, str(image))
            left_out = export_labels(segmentation, volume, schema, str(label))
        except BaseException:
            self._clean()
            raise

        def done(result: dict[str, Any]) -> None:
            self._clean()
            on_done(result)

        def failed(reason: str) -> None:
            self._clean()
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

    def forget(self) -> None:
        """Call nobody any more; the worker completes or undoes what it has begun."""
        if self.running:
            self.request.forget()
        self.request = None
        self._clean()

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
