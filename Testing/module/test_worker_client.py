"""The client of the worker: what it makes of workers that behave well, badly, or die."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from CPS4SegmentLib import worker_client, worker_process
from CPS4SegmentLib.worker_client import WorkerClient
from machine import FAKE_WORKER

from CPS4Core.errors import CPS4Error


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[[str], WorkerClient]]:
    """Makes clients of workers in a given mood; afterwards nothing of them may be left."""
    made = []

    def make(mood: str = "good") -> WorkerClient:
        made.append(WorkerClient([sys.executable, str(FAKE_WORKER), mood, str(tmp_path)]))
        return made[-1]

    yield make
    for each in made:
        each.stop()
    assert not [p for p in pids(tmp_path) if alive(p)]


def pids(folder: Path) -> list[int]:
    return [int(p.name.rpartition("-")[2]) for p in folder.glob("*-*")]


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie that nobody has waited for."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def until(client: WorkerClient, happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        client.poll()
        time.sleep(0.01)


def test_result_comes_back_once(client: Any) -> None:
    worker, results = client(), []
    request = worker.submit("probe", {}, on_done=results.append)
    assert not worker.running, "nothing starts before it is needed"
    assert worker.wait(request) == {"command": "probe", "life": 0}
    assert results == [{"command": "probe", "life": 0}]
    assert request.state == "done" and not worker.busy and worker.running


def test_one_process_serves_many_requests_in_order(client: Any, tmp_path: Path) -> None:
    worker, order = client(), []
    for number in range(3):
        last = worker.submit("probe", on_done=lambda _, n=number: order.append(n))
    worker.wait(last)
    assert order == [0, 1, 2] and len(pids(tmp_path)) == 1


def test_garbage_between_the_lines_does_no_harm(client: Any) -> None:
    worker = client("garbage")
    events: list[dict] = []
    request = worker.submit("probe", on_event=events.append)
    assert worker.wait(request)["command"] == "probe" and events == []


def test_long_lines_arrive_whole(client: Any) -> None:
    worker = client("long")
    assert worker.wait(worker.submit("probe")) == {"text": "ä" * 300_000}


def test_failure_gives_the_workers_own_words(client: Any) -> None:
    worker, reasons = client("fails"), []
    request = worker.submit("segment", on_failed=reasons.append)
    with pytest.raises(CPS4Error, match="The volume is too small. Take another."):
        worker.wait(request)
    assert reasons == ["The volume is too small. Take another."] and request.state == "failed"
    assert worker.running, "a failed request does not end the worker"


def test_worker_that_dies_once_is_started_again_and_the_case_is_not_lost(client: Any) -> None:
    worker, events = client("dies once"), []
    request = worker.submit("segment", on_event=events.append)
    after = worker.submit("probe")
    assert worker.wait(request) == {"command": "segment", "life": 1}
    assert worker.wait(after)["command"] == "probe"
    said = [e["message"] for e in events if e["event"] == "message"]
    assert len(said) == 1
    assert "RuntimeError: the roof fell in" in said[0] and "started again" in said[0]


def test_worker_that_dies_again_fails_the_request_with_the_reason(
    client: Any, tmp_path: Path
) -> None:
    worker = client()
    request = worker.submit("segment", {"mood": "dies"})
    waiting = worker.submit("probe")
    with pytest.raises(CPS4Error, match=r"the roof fell in; exit code 3"):
        worker.wait(request)
    assert worker.wait(waiting)["command"] == "probe", "what waited survives"
    assert len(pids(tmp_path)) == 3


def test_killed_worker_is_named_so(client: Any) -> None:
    worker = client()
    with pytest.raises(CPS4Error, match="SIGKILL, perhaps for lack of memory"):
        worker.wait(worker.submit("segment", {"mood": "killed"}))


@pytest.mark.parametrize("chunk", [1 << 16, 5])
def test_answer_right_before_the_end_is_not_lost(
    client: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "CHUNK", chunk)
    worker = client("last words")
    assert worker.wait(worker.submit("segment")) == {"n": 1}
    assert worker.wait(worker.submit("segment")) == {"n": 1}, "the next one gets a new worker"


def test_worker_that_cannot_start_says_why(client: Any) -> None:
    worker = client("never starts")
    first, second = worker.submit("probe"), worker.submit("models")
    for request in (first, second):
        with pytest.raises(CPS4Error, match="No module named 'pydantic'"):
            worker.wait(request, timeout=20)


def test_worker_that_is_not_there_says_so() -> None:
    worker = WorkerClient(["/no/such/python"])
    with pytest.raises(CPS4Error, match="cannot be started"):
        worker.wait(worker.submit("probe"), timeout=5)


def test_silent_start_is_given_up(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_client, "START_LIMIT", 0.3)
    worker = client("never ready")
    with pytest.raises(CPS4Error, match="said nothing"):
        worker.wait(worker.submit("probe"), timeout=20)


def test_cancel_at_a_safe_point_keeps_the_worker(client: Any, tmp_path: Path) -> None:
    worker, calls = client("slow"), []
    request = worker.submit("segment", on_cancelled=lambda: calls.append("cancelled"))
    until(worker, lambda: bool(request.progress))
    assert request.progress["seconds_left"] == 60
    request.cancel()
    assert request.state == "running", "not before the worker says so"
    until(worker, lambda: request.over)
    assert request.state == "cancelled" and calls == ["cancelled"]
    assert worker.wait(worker.submit("probe", {"mood": "good"}))["life"] == 0


def test_cancel_of_what_waits_is_immediate(client: Any) -> None:
    worker = client("slow")
    running, waiting = worker.submit("segment"), worker.submit("segment")
    until(worker, lambda: running.state == "running")
    waiting.cancel()
    assert waiting.state == "cancelled" and running.state == "running"
    running.cancel()
    until(worker, lambda: running.over)


def test_cancel_works_on_a_worker_that_does_not_listen(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_client, "CANCEL_GRACE", 0.3)
    worker = client("deaf")
    request, after = worker.submit("segment"), worker.submit("probe", {"mood": "good"})
    until(worker, lambda: request.state == "running")
    request.cancel()
    until(worker, lambda: request.over)
    assert request.state == "cancelled"
    assert worker.wait(after)["life"] == 1


def test_dead_worker_of_a_cancelled_request_is_no_failure(client: Any, tmp_path: Path) -> None:
    worker = client("deaf")
    request = worker.submit("segment")
    until(worker, lambda: request.state == "running")
    request.cancel()
    os.kill(pids(tmp_path)[0], 9)
    until(worker, lambda: request.over)
    assert request.state == "cancelled" and len(pids(tmp_path)) == 1


def test_timeout_cancels_and_says_so(client: Any) -> None:
    worker = client("slow")
    request = worker.submit("segment")
    with pytest.raises(CPS4Error, match=r"no result after 0\.5 seconds"):
        worker.wait(request, timeout=0.5)
    assert request.state == "cancelled"


def test_stop_in_the_middle_ends_everything(client: Any, tmp_path: Path) -> None:
    worker, calls = client("slow"), []
    request = worker.submit("segment", on_cancelled=lambda: calls.append(1))
    until(worker, lambda: bool(request.progress))
    worker.stop()
    assert request.state == "cancelled" and calls == [1] and not worker.running
    assert not [p for p in pids(tmp_path) if alive(p)]
    assert worker.wait(worker.submit("probe", {"mood": "good"}))["life"] == 1, "usable again"


def test_stop_takes_the_workers_children_along(client: Any, tmp_path: Path) -> None:
    worker = client("children")
    worker.wait(worker.submit("probe"))
    child = next(tmp_path.glob("child-*"))
    assert alive(int(child.name[6:]))
    worker.stop()
    until(worker, lambda: not alive(int(child.name[6:])), seconds=3)


def test_stop_does_not_wait_for_one_that_ignores_it(client: Any, tmp_path: Path) -> None:
    worker = client("ignores shutdown")
    worker.wait(worker.submit("probe", {"mood": "good"}))
    began = time.monotonic()
    worker.stop(grace=0.3)
    assert time.monotonic() - began < 3
    assert not [p for p in pids(tmp_path) if alive(p)]


def test_error_in_a_callback_loses_no_other_request(client: Any) -> None:
    worker = client()

    def clumsy(_: dict) -> None:
        raise ValueError("a mistake in the panel")

    first, second = worker.submit("probe", on_done=clumsy), worker.submit("models")
    with pytest.raises(ValueError, match="a mistake"):
        worker.wait(first)
    assert worker.wait(second)["command"] == "models"


def test_a_new_request_from_a_callback_runs(client: Any) -> None:
    worker, later = client(), []
    first = worker.submit("probe", on_done=lambda _: later.append(worker.submit("models")))
    worker.wait(first)
    assert worker.wait(later[0])["command"] == "models"


def test_stop_from_a_callback_is_safe(client: Any) -> None:
    worker = client()
    first = worker.submit("probe", on_done=lambda _: worker.stop())
    second = worker.submit("models")
    worker.wait(first)
    assert second.state == "cancelled" and not worker.running
