"""The worker's protocol, in real processes: every request gets one answer, and nothing kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_process import ROOT, WorkerProcess

from CPS4Core import __version__
from CPS4Core.worker.server import GRACE

SAMPLES = str(Path(__file__).with_name("sample_worker.py"))


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    with WorkerProcess([SAMPLES]) as process:
        assert process.next() == {"event": "ready", "protocol": 1, "version": __version__}
        yield process


def test_requests_are_answered_in_order_with_their_ids(worker: WorkerProcess) -> None:
    for id in ("a", 7, "c ä"):
        worker.send(id=id, command="echo", arguments={"text": f"for {id}"})
    for id in ("a", 7, "c ä"):
        answer = worker.next()
        assert (answer["id"], answer["event"]) == (id, "result")
        assert answer["result"]["text"] == f"for {id}"


def test_events_of_the_work_carry_the_id(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    lines = worker.until("1", "step")
    assert [line["event"] for line in lines] == ["start", "step"]
    assert lines[-1] | {"seconds_left": 0} == {
        "id": "1",
        "event": "step",
        "task": "steps",
        "step": 1,
        "total": 200,
        "seconds_left": 0,
    }


def test_what_libraries_print_does_not_get_between_the_lines(worker: WorkerProcess) -> None:
    answer = worker.ask("prints")
    assert answer["result"] == {"input": ""}, "and nobody can eat the requests"
    assert worker.ask("echo", text="next")["event"] == "result"
    assert worker.close() == 0 and worker.rest() == []
    for said in ("printed by Python", "written by a library", "printed by a child"):
        assert said in worker.said()


@pytest.mark.parametrize(
    ("line", "id", "said"),
    [
        (b"nonsense", None, "not JSON"),
        (b"\xff\xfe{}", None, "not JSON"),
        (b"[" * 100_000, None, "not JSON"),
        (b"[1, 2]", None, "not a JSON object"),
        (b'{"command": "echo"}', None, "has no id"),
        (b'{"id": ["1"], "command": "echo"}', None, "a string or a whole number"),
        (b'{"id": true, "command": "echo"}', None, "a string or a whole number"),
        (b'{"id": "5"}', "5", "names no command"),
        (b'{"id": "5", "command": "echo", "arguments": []}', "5", "are a JSON object"),
        (b'{"id": "5", "command": "echo", "argument": {}}', "5", "no 'argument'"),
        (b'{"command": "cancel"}', None, "has no id"),
    ],
)
def test_a_line_that_is_no_request_fails(
    line: bytes, id: str | None, said: str, worker: WorkerProcess
) -> None:
    worker.write(b"\n" + line + b"\r\n")
    answer = worker.next()
    assert (answer["id"], answer["event"], answer["internal"]) == (id, "failed", False)
    assert said in answer["message"]
    assert worker.ask("echo", text="still here")["event"] == "result"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "needs the argument 'text'. Give a text."),
        ({"text": None}, "'text' of 'echo' is 'None'. Give a text."),
        ({"text": "x", "number": "3"}, "Give a whole number or null."),
        ({"text": "x", "number": True}, "Give a whole number or null."),
        ({"text": "x", "yes": 1}, "Give true or false."),
        ({"text": "x", "texts": ["a", 1]}, "Give a list, each item a text or null."),
        ({"text": "x", "table": []}, "Give an object or null."),
        ({"text": "x", "txet": 1}, "no argument 'txet'. Known: text, number, yes, texts, table."),
    ],
)
def test_arguments_are_checked(arguments: dict, said: str, worker: WorkerProcess) -> None:
    answer = worker.ask("echo", **arguments)
    assert answer["event"] == "failed" and not answer["internal"]
    assert said in answer["message"]
    good = {"text": "x", "number": 1, "yes": True, "texts": ["a"], "table": {"k": [None]}}
    assert worker.ask("echo", **good)["result"] == good


def test_an_unknown_command_lists_the_known_ones(worker: WorkerProcess) -> None:
    answer = worker.ask("segmentt")
    assert answer["event"] == "failed" and not answer["internal"]
    assert "'segmentt'" in answer["message"] and "echo" in answer["message"]


@pytest.mark.parametrize(
    ("command", "internal", "message"),
    [
        ("user", False, "This is no volume: a.nii. Give another."),
        ("memory", False, "The computer's memory is used up. Close other programs."),
        ("lacks", False, "Install no_such_package_anywhere (again)"),
        ("defect", True, "ValueError: first line"),
        ("exits", True, "SystemExit: 3"),
        ("interrupts", True, "KeyboardInterrupt: "),
        ("no_number", True, "ValueError: Out of range float"),
        ("no_json", True, "TypeError: Object of type set"),
    ],
)
def test_every_failure_is_an_answer(
    command: str, internal: bool, message: str, worker: WorkerProcess
) -> None:
    answer = worker.ask(command)
    assert (answer["event"], answer["internal"]) == ("failed", internal)
    assert message in answer["message"] and "\n" not in answer["message"]
    assert worker.ask("echo", text="still here")["event"] == "result"
    assert worker.close() == 0
    assert ("Traceback" in worker.said()) == (command != "user"), (
        "the log has what was not foreseen"
    )


def test_a_running_request_stops_at_its_next_safe_point(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    worker.until("1", "step")
    worker.send(command="cancel", id="1")
    assert worker.until("1", timeout=5)[-1] == {"id": "1", "event": "cancelled"}
    assert worker.ask("echo", text="next")["event"] == "result"


def test_a_waiting_request_is_cancelled_at_once(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    for id in ("2", "3"):
        worker.send(id=id, command="echo", arguments={"text": id})
    worker.send(command="cancel", id="2")
    assert worker.until("2", timeout=5)[-1] == {"id": "2", "event": "cancelled"}
    worker.send(command="cancel", id="1")
    lines = worker.until("3")
    assert [line["id"] for line in lines if line["event"] in ("cancelled", "result")] == ["1", "3"]
    worker.send(command="cancel", id="2")
    worker.send(command="cancel", id="unknown")
    assert worker.close() == 0 and worker.rest() == [], "one answer each, and none for others"


def test_an_id_in_use_is_refused_without_ending_the_other_request(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    worker.until("1", "start")
    worker.send(id="1", command="echo", arguments={"text": "x"})
    assert worker.until(None)[-1]["event"] == "failed"
    worker.until("1", "step")


def test_it_ends_with_its_input(worker: WorkerProcess) -> None:
    assert worker.close(timeout=5) == 0 and worker.rest() == []


def test_a_shutdown_cancels_what_runs_and_waits(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    worker.until("1", "step")
    worker.send(id="2", command="echo", arguments={"text": "x"})
    worker.send(command="shutdown")
    assert worker.process.wait(5) == 0
    answers = [line for line in worker.rest() if line["event"] != "step"]
    assert sorted((a["id"], a["event"]) for a in answers if a["event"] != "end") == [
        ("1", "cancelled"),
        ("2", "cancelled"),
    ]


@pytest.mark.parametrize("command", ["stuck", "floods"])
def test_it_ends_even_where_the_work_does_not_stop(command: str, worker: WorkerProcess) -> None:
    """Stuck in a library; or nobody reads what it says, so that writing blocks."""
    assert worker.process.stdout is not None
    worker.send(id="1", command=command)
    worker.until("1", "message")
    began = time.monotonic()
    assert worker.close(timeout=GRACE + 10) == 0
    assert time.monotonic() - began < GRACE + 5


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_signal_ends_it_too(worker: WorkerProcess) -> None:
    worker.send(id="1", command="steps")
    worker.until("1", "step")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(5) == 0
    assert worker.rest()[-1] == {"id": "1", "event": "cancelled"}


@pytest.mark.skipif(os.name != "posix", reason="looks for a POSIX process")
def test_it_does_not_outlive_a_program_that_is_killed(tmp_path: Path) -> None:
    starter = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, {SAMPLES!r}], stdin=-1, stdout=-1)\n"
        "p.stdout.readline()\n"
        'p.stdin.write(b\'{"id": "1", "command": "steps"}\\n\')\n'
        "p.stdin.flush()\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", starter],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.kill()
    program.wait()
    end = time.monotonic() + GRACE + 5
    while _lives(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc").is_dir()
    return state != "Z"


def test_the_help_says_for_whom_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "CPS4Core", "worker", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0 and "for programs" in done.stdout
