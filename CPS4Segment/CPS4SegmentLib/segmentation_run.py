"""One volume on its way: out of the scene, through the worker, and back as a segmentation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.exchange import ExchangeFolder, in_words
from CPS4SegmentLib.fingerprint import fingerprint, mark_as_made
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.volume_export import export_volume, volume_problem
from CPS4SegmentLib.worker_client import Request, WorkerClient


class SegmentationRun:
    """Segments a volume node once.

    volume: the node; model: name or folder, None for the default; device: `auto`, `cpu`, a GPU.
    segmentation: a node whose contents the result replaces; None makes a new one, and so does a
        change of that node while the run goes on.
    warnings: what the worker warned of on the way, and in its result.
    """

    def __init__(
        self,
        worker: WorkerClient,
        volume: Any,
        model: str | None = None,
        device: str = "auto",
        segmentation: Any = None,
    ):
        self._worker = worker
        self.volume = volume
        self._model, self._device = model, device
        self._target = segmentation
        self._target_was = fingerprint(segmentation) if segmentation is not None else ""
        self._folder: ExchangeFolder | None = None
        self._file = ""
        self.request: Request | None = None
        self.segmentation: Any = None
        self.warnings: list[str] = []
        self._error = ""
        self._on_event: Callable[[dict], None] | None = None
        self._on_done: Callable[[Any], None] | None = None
        self._on_failed: Callable[[str], None] | None = None
        self._on_cancelled: Callable[[], None] | None = None

    def start(
        self,
        on_event: Callable[[dict], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
        on_failed: Callable[[str], None] | None = None,
        on_cancelled: Callable[[], None] | None = None,
    ) -> None:
        """Write the volume for the worker and queue it; one of the last three is called later.

        Raises CPS4Error for a volume that cannot be segmented or written.
        """
        problem = volume_problem(self.volume)
        if problem:
            raise CPS4Error(problem)
        self._on_event, self._on_done = on_event, on_done
        self._on_failed, self._on_cancelled = on_failed, on_cancelled
        self._folder = ExchangeFolder()
        self._file = str(self._folder.path / "volume.nrrd")
        try:
            export_volume(self.volume, self._file)
        except BaseException:
            self._clean()
            raise
        arguments = {
            "volume": self._file,
            "output": str(self._folder.path / "output"),
            "model": self._model,
            "device": self._device,
        }
        self.request = self._worker.submit(
            "segment", arguments, self._event, self._done, self._failed, self._cancelled
        )

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and has not stopped yet."""
        return self.request is not None and self.request.cancelling

    @property
    def volume_is_gone(self) -> bool:
        """Whether the volume was taken out of the scene."""
        return self.volume.GetScene() is None

    def cancel(self) -> None:
        """Stop at the next safe point."""
        if self.request is not None:
            self.request.cancel()

    def forget(self) -> None:
        """Stop and tell nobody; the files go when the worker has let go of them."""
        self._on_event = self._on_done = self._on_failed = self._on_cancelled = None
        self.cancel()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the segmentation node; raises CPS4Error where there will be none."""
        assert self.request is not None, "start comes first"
        try:
            self._worker.wait(self.request, timeout)
        except CPS4Error:
            if not self._error:
                raise
        if self.segmentation is None:
            raise CPS4Error(self._error)
        return self.segmentation

    def _event(self, event: dict) -> None:
        if event.get("event") == "message" and event.get("level") in ("warning", "error"):
            self.warnings.append(str(event.get("message")))
        if self._on_event:
            self._on_event(event)

    def _done(self, result: dict) -> None:
        # A warning of the result was often a message on the way already.
        new = [str(w) for w in result.get("warnings") or [] if str(w) not in self.warnings]
        self.warnings += new
        try:
            if self.volume_is_gone:
                raise CPS4Error("The input volume was removed before its segmentation was done")
            self.segmentation = import_result(result, self.volume, self._free_target())
            mark_as_made(self.segmentation)
        except CPS4Error as error:
            self._error = str(error)
        except Exception as error:
            logging.exception("CPS4: the result could not be imported")
            self._error = f"The result could not be put into the scene ({error})"
        self._clean()
        if self.segmentation is None:
            self._report_failure()
        elif self._on_done:
            self._on_done(self.segmentation)

    def _free_target(self) -> Any:
        """The node to replace, unless it has gone or somebody has worked on it meanwhile."""
        target = self._target
        if target is None or target.GetScene() is None:
            return None
        if fingerprint(target) == self._target_was:
            return target
        self.warnings.append(
            f"{target.GetName()} was changed meanwhile, so the new result is beside it"
        )
        return None

    def _failed(self, reason: str) -> None:
        self._error = in_words(reason, self._file, self.volume.GetName() or "")
        self._clean()
        self._report_failure()

    def _report_failure(self) -> None:
        if self._on_failed:
            self._on_failed(self._error)

    def _cancelled(self) -> None:
        self._clean()
        if self._on_cancelled:
            self._on_cancelled()

    def _clean(self) -> None:
        if self._folder is not None:
            self._folder.remove()
