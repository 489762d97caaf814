"""Asking the worker for prompt maps of a volume of the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4SegmentLib.exchange import ExchangeFolder, in_words
from CPS4SegmentLib.volume_export import export_volume

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


class MapsRun:
    """One request at a time; its files live in a temporary folder until `forget`."""

    def __init__(self, panel: Panel):
        self._panel = panel
        self._folder: ExchangeFolder | None = None
        self._exported: dict[str, tuple[int, Path]] = {}
        self._count = 0
        self.request: Any = None

    @property
    def running(self) -> bool:
        """Whether an answer is still to come."""
        return self.request is not None and not self.request.over

    def start(
        self,
        volume: Any,
        model: dict[str, Any] | None,
        prompts: list[str] | None,
        on_event: Callable[[dict[str, Any]], None],
        on_done: Callable[[dict[str, Any]], None],
        on_failed: Callable[[str], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        """Ask for the model's own prompts, or for `prompts`; raises as `export_volume` does."""
        path = self._export(volume)
        name = volume.GetName() or ""
        self._count += 1
        arguments = {
            "volume": str(path),
            "output": str(path.parent / f"maps{self._count}"),
            "model": model["folder"] if model else None,
            "device": self._panel.discovery.usable_device,
            "prompts": prompts,
        }
        self.request = self._panel.worker.submit(
            "maps",
            arguments,
            on_event,
            on_done,
            lambda reason: on_failed(in_words(reason, path, name)),
            on_cancelled,
        )

    def cancel(self) -> None:
        """Stop at the worker's next safe point."""
        if self.running:
            self.request.cancel()

    def forget(self) -> None:
        """Stop and call nobody any more; the files go when the worker has let go of them."""
        folder, request = self._folder, self.request
        self._folder = self.request = None
        self._exported.clear()
        remove = folder.remove if folder is not None else None
        if request is not None and not request.over:
            request.forget(remove)
        elif remove is not None:
            remove()

    def _export(self, volume: Any) -> Path:
        """The same file again for an unchanged volume: the worker knows it by heart."""
        transform = volume.GetParentTransformNode()
        changed = max(
            volume.GetMTime(),
            volume.GetImageData().GetMTime() if volume.GetImageData() else 0,
            transform.GetTransformToWorldMTime() if transform else 0,
        )
        when, path = self._exported.get(volume.GetID(), (0, Path()))
        if when == changed and path.is_file():
            return path
        if self._folder is None:
            self._folder = ExchangeFolder()
        path = self._folder.new_file("volume.nrrd")
        export_volume(volume, str(path))
        self._exported[volume.GetID()] = (changed, path)
        return path
