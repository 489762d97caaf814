"""What work tells about itself, and how it is stopped."""

from __future__ import annotations

import io
import json
import os
import signal
from typing import Any

import pytest

from CPS4Core.errors import Cancelled
from CPS4Core.progress import ConsoleProgress, JsonLinesProgress, Progress, cancel_on_signals


class Recorder(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)


def test_each_step_is_announced_after_it_is_done() -> None:
    progress = Recorder()
    seen = []
    for item in progress.track("abc", "reading"):
        seen.append((item, sum(e["event"] == "step" for e in progress.events)))
    assert seen == [("a", 0), ("b", 1), ("c", 2)]
    assert [e["event"] for e in progress.events] == ["start", "step", "step", "step", "end"]
    assert progress.events[0] == {"event": "start", "task": "reading", "step": 0, "total": 3}
    assert progress.events[-2]["seconds_left"] == 0
    assert progress.events[-1]["step"] == 3


def test_a_resumed_task_goes_on_counting() -> None:
    progress = Recorder()
    list(progress.track(range(4, 6), "training", start=4))
    assert [e["step"] for e in progress.events] == [4, 5, 6, 6]
    assert all(e["total"] == 6 for e in progress.events)


def test_an_iterator_needs_its_total_told() -> None:
    progress = Recorder()
    list(progress.track(iter("ab"), "x", total=2))
    assert progress.events[0]["total"] == 2


def test_cancelling_stops_before_the_next_item_and_ends_the_task() -> None:
    progress = Recorder()
    done = []
    with pytest.raises(Cancelled):
        for item in progress.track(range(5), "x"):
            done.append(item)
            if item == 1:
                progress.cancel()
    assert done == [0, 1]
    assert progress.events[-1] == {"event": "end", "task": "x", "step": 2, "total": 5}


def test_a_failing_step_still_ends_the_task() -> None:
    progress = Recorder()

    def work() -> None:
        for _ in progress.track(range(3), "x"):
            raise ValueError

    with pytest.raises(ValueError):
        work()
    assert progress.events[-1]["event"] == "end"
    assert progress.events[-1]["step"] == 0


def test_json_lines_hold_one_object_each() -> None:
    stream = io.StringIO()
    progress = JsonLinesProgress(stream)
    progress.message("two\nlines", "warning")
    progress.metric("stage 2", 7, loss=0.5)
    list(progress.track([1], "x"))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[0] == {"event": "message", "message": "two\nlines", "level": "warning"}
    assert events[1] == {"event": "metric", "task": "stage 2", "step": 7, "metrics": {"loss": 0.5}}
    assert [e["event"] for e in events[2:]] == ["start", "step", "end"]


def test_the_console_leaves_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress()
    for _ in progress.track(range(2), "reading"):
        progress.metric("reading", 0, loss=0.25)
        progress.message("look here", "warning")
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err
    assert "warning: look here" in err


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_a_second_one_interrupts(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    progress = Recorder()
    before = signal.getsignal(number)
    with cancel_on_signals(progress):
        os.kill(os.getpid(), number)
        assert progress.cancelled
        assert "press Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
