"""The command line's frame: help, errors, exit codes and JSON events."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from CPS4Core import __version__
from CPS4Core.cli import main as frame
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.progress import Progress

Work = Callable[[argparse.Namespace, Progress], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """Puts a command of the test's own in the place of `cps4 info`."""

    def replace(work: Work) -> None:
        own = SimpleNamespace(HELP="own", EXAMPLE="cps4 info", configure=lambda _: None, run=work)
        monkeypatch.setattr(frame, "load_command", lambda name: own)

    return replace


def exit_of(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as stop:
        frame.main(arguments)
    return stop.value.code


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of([name, "--help"]) == 0
    text, example = capsys.readouterr().out.split("example:")
    assert f"cps4 {name}" in example
    assert "--json" in text and "--quiet" in text


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(["--help"]) == 0
    out = capsys.readouterr().out
    for name in frame.COMMANDS:
        assert name in [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
    assert frame.main([]) == 0
    assert capsys.readouterr().out == out


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(["segmentt"]) == 2
    err = capsys.readouterr().err
    assert "segmentt" in err and "info" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(["--version"]) == 0
    assert capsys.readouterr().out == f"cps4 {__version__}\n"


def test_a_users_error_is_one_sentence_with_the_cure(
    command: Callable[[Work], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace, progress: Progress) -> int:
        raise CPS4Error("This is no volume", path="a.nii.gz", cure="Give another file")

    command(work)
    assert frame.main(["info"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "cps4 info: This is no volume: a.nii.gz. Give another file.\n"


def test_with_json_an_error_is_an_event_too(
    command: Callable[[Work], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace, progress: Progress) -> int:
        list(progress.track([1], "reading"))
        raise CPS4Error("broken")

    command(work)
    assert frame.main(["--json", "info"]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["start", "step", "end", "message"]
    assert events[-1] == {"event": "message", "message": "broken.", "level": "error"}


@pytest.mark.parametrize("stop", [Cancelled("cancelled"), KeyboardInterrupt()])
def test_a_cancelled_command_exits_130(
    stop: BaseException, command: Callable[[Work], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace, progress: Progress) -> int:
        raise stop

    command(work)
    assert frame.main(["info"]) == 130
    err = capsys.readouterr().err
    assert "cancelled" in err
    assert ("saved" in err) == isinstance(stop, Cancelled)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_stops_at_a_safe_point(command: Callable[[Work], None]) -> None:
    done = []

    def work(args: argparse.Namespace, progress: Progress) -> int:
        for step in progress.track(range(5), "x"):
            if step == 1:
                os.kill(os.getpid(), signal.SIGINT)
            done.append(step)
        return 0

    command(work)
    assert frame.main(["info"]) == 130
    assert done == [0, 1]


def test_the_exit_code_of_a_command_comes_through(command: Callable[[Work], None]) -> None:
    command(lambda args, progress: 1)
    assert frame.main(["info"]) == 1


@pytest.mark.parametrize("arguments", [["info", "--quiet"], ["--quiet", "info"]])
def test_quiet_shows_warnings_and_errors_only(
    arguments: list[str], command: Callable[[Work], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace, progress: Progress) -> int:
        progress.message("all is well")
        list(progress.track([1], "reading"))
        progress.message("case 7 is broken", "error")
        return 0

    command(work)
    assert frame.main(arguments) == 0
    assert capsys.readouterr() == ("", "error: case 7 is broken\n")


def test_info_names_versions_and_device_as_one_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["info", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert event["event"] == "info"
    assert event["versions"]["CPS4Core"] == __version__
    assert event["versions"]["torch"]
    assert event["device"]["cpu"]["cores"] >= 1


def test_info_reads_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"  CPS4Core: {__version__}\n" in out
    assert "device:\n" in out


def test_info_of_a_folder_that_is_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.main(["info", "--model", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_threads_of_openmp_do_not_spin(
    command: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    seen = []
    command(lambda args, progress: seen.append(dict(os.environ)) or 0)
    assert frame.main(["info"]) == 0
    assert seen[0]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert seen[0]["GOMP_SPINCOUNT"] == "7", "the user's own value stays"


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "CPS4Core", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"cps4 {__version__}\n")


@pytest.mark.skipif(os.name != "posix", reason="closes a POSIX pipe")
def test_a_reader_that_goes_away_is_no_crash() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "CPS4Core", "info"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_long_lists_are_cut_in_text() -> None:
    from CPS4Core.cli.info import as_text

    lines = list(as_text({"cases": [f"c{i}" for i in range(30)], "none": None, "ok": True}))
    assert lines[0].endswith("... (30 in all)")
    assert lines[1:] == ["none: none", "ok: yes"]


def test_events_are_flushed_line_by_line() -> None:
    """Another program must see an event when it happens, not at the end."""
    from CPS4Core.progress import JsonLinesProgress

    class Pipe(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    pipe = Pipe()
    JsonLinesProgress(pipe).message("now")
    assert pipe.flushed == 1
