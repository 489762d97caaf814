"""How long work tells the outside about itself: bars on a terminal or JSON lines for programs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from CPS4Core.errors import Cancelled

T = TypeVar("T")


class Progress:
    """The quiet base: counts, can be cancelled, prints nothing.

    Every event is a dict with the key `event` (start, step, end, message, metric), and where they
    apply `task`, `step`, `total`, `seconds_left`, `message`, `level`, `metrics`.
    """

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Ask the work to stop at its next safe point."""
        self.cancelled = True

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        if self.cancelled:
            raise Cancelled("cancelled")

    def emit(self, event: dict[str, Any]) -> None:
        """Take one event; the base drops it."""

    def message(self, text: str, level: str = "info") -> None:
        """A line for the user; `level` is info, warning or error."""
        self.emit({"event": "message", "message": text, "level": level})

    def metric(self, task: str, step: int, **metrics: float) -> None:
        """Measured values that belong to a step of a task."""
        self.emit({"event": "metric", "task": task, "step": step, "metrics": metrics})

    def track(
        self, items: Iterable[T], task: str, total: int | None = None, start: int = 0
    ) -> Iterator[T]:
        """Yield the items, announcing each finished one; stops with Cancelled when asked to.

        `start` is the number of steps done before (a resumed run).
        """
        if total is None:
            total = len(items) + start  # type: ignore[arg-type]
        self.emit({"event": "start", "task": task, "step": start, "total": total})
        began, step = time.monotonic(), start
        try:
            for item in items:
                self.check()
                yield item
                step += 1
                left = (time.monotonic() - began) / (step - start) * (total - step)
                self.emit(
                    {
                        "event": "step",
                        "task": task,
                        "step": step,
                        "total": total,
                        "seconds_left": round(left, 1),
                    }
                )
        finally:
            self.emit({"event": "end", "task": task, "step": step, "total": total})


class JsonLinesProgress(Progress):
    """One JSON object a line, flushed, for other programs to read."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stdout

    def emit(self, event: dict[str, Any]) -> None:
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()


class ConsoleProgress(Progress):
    """Bars with an estimate on standard error, messages above them."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: dict[str, Any] = {}
        self._values: dict[str, str] = {}

    def emit(self, event: dict[str, Any]) -> None:
        from tqdm import tqdm

        kind, task = event["event"], event.get("task", "")
        if kind == "message":
            prefix = "" if event["level"] == "info" else f"{event['level']}: "
            tqdm.write(prefix + event["message"], file=sys.stderr)
        elif kind == "start":
            self._bars[task] = tqdm(
                total=event["total"],
                initial=event["step"],
                desc=task,
                file=sys.stderr,
                dynamic_ncols=True,
                mininterval=0.3 if sys.stderr.isatty() else 15,
            )
        elif kind == "step" and task in self._bars:
            self._bars[task].update(event["step"] - self._bars[task].n)
        elif kind == "metric" and task in self._bars:
            shown = {k: f"{v:.4g}" for k, v in event["metrics"].items()}
            self._bars[task].set_postfix(shown, refresh=False)
        elif kind == "end" and task in self._bars:
            self._bars.pop(task).close()


@contextmanager
def cancel_on_signals(progress: Progress) -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel at the next safe point; a second one interrupts."""

    def handler(number: int, frame: object) -> None:
        if progress.cancelled:
            raise KeyboardInterrupt
        progress.cancel()
        # A plain write: the signal may have come in the middle of another print.
        os.write(2, b"\nStopping at the next safe point; press Ctrl-C again to stop now\n")

    previous = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
