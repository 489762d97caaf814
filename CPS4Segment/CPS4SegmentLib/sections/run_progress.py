"""A progress bar with the time that is left, fed with the worker's events."""

from __future__ import annotations

from typing import Any


class RunProgress:
    """Shown while something runs; busy without a number until the worker counts steps."""

    def __init__(self, bar: Any, time: Any):
        self._bar, self._time = bar, time
        self.stop()

    def start(self) -> None:
        """Show a busy bar."""
        self._bar.setRange(0, 0)
        self._time.setText("")
        self._bar.show()
        self._time.show()

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.hide()
        self._time.hide()

    def take(self, event: dict[str, Any]) -> None:
        """Show one event; other kinds than start and step are left alone."""
        if event.get("event") not in ("start", "step"):
            return
        total, step = event.get("total"), event.get("step")
        if not isinstance(total, int) or not isinstance(step, int) or total < 1:
            return
        self._bar.setRange(0, total)
        self._bar.setValue(min(step, total))
        left = event.get("seconds_left")
        self._time.setText(time_left(left) if isinstance(left, (int, float)) else "")


def time_left(seconds: float) -> str:
    """An estimate in words; nothing for the last second."""
    if seconds < 1:
        return ""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left"
