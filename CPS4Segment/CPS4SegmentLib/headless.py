"""A command of cps4 run from a script of Slicer's, without a window.

    Slicer --no-splash --no-main-window --python-script SCRIPT ARGUMENTS

The command runs in a child, PythonSlicer, as everything that needs torch does. Its output comes out
of Slicer while it runs, its exit code becomes Slicer's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

from CPS4SegmentLib.core_path import core_command, core_environment

FAILED, CANCELLED = 1, 130
WAKE_SECONDS = 0.5
"""A wait without an end would keep signals out on Windows."""


def run(command: str, arguments: Sequence[str]) -> int:
    """Run `cps4 COMMAND ARGUMENTS` to its end; returns the exit code and raises nothing.

    A `--` in front is dropped: Slicer passes on what follows it even where it has an option of that
    name itself (`-- --help`). Ctrl-C and SIGTERM stop the child at its next safe point, a second
    one at once. Without a child there is 1, and a child that was killed gives 128 + the signal.
    """
    arguments = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    try:
        child = _start([command, *arguments])
        try:
            with _signals_reach(child) as signals:
                _stream(child)
                code = child.wait()
        finally:
            _kill(child)
    except BaseException:
        # Anything that escaped would leave Slicer open, waiting for a user who is not there.
        traceback.print_exc()
        return FAILED
    if signals:
        return CANCELLED
    if code < 0:
        print(f"cps4 {command}: killed by signal {-code} (out of memory?).", file=sys.stderr)
        return 128 - code
    return code


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    # PythonSlicer is a launcher with the interpreter as its child: signals go to both of them.
    alone: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        alone = {"creationflags": subprocess.CREATE_NO_WINDOW}
    return subprocess.Popen(
        [*core_command(), *arguments],
        env=core_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        **alone,
    )


def _stream(child: subprocess.Popen[str]) -> None:
    """Pass the child's output on, line by line, until both of its streams end."""
    lines: Queue[tuple[IO[str], str | None]] = Queue()

    def read(source: IO[str], target: IO[str]) -> None:
        for line in source:
            lines.put((target, line))
        lines.put((target, None))

    assert child.stdout is not None and child.stderr is not None
    for source, target in ((child.stdout, sys.stdout), (child.stderr, sys.stderr)):
        Thread(target=read, args=(source, target), daemon=True).start()
    open_streams = 2
    while open_streams:
        try:
            target, line = lines.get(timeout=WAKE_SECONDS)
        except Empty:
            continue
        if line is None:
            open_streams -= 1
        else:
            # From this thread: what another one writes would wait for Slicer's event loop.
            target.write(line)
            target.flush()


@contextmanager
def _signals_reach(child: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Hands Ctrl-C and SIGTERM to the child; yields the list of those that came."""
    came: list[int] = []

    def handler(number: int, frame: object) -> None:
        came.append(number)
        if len(came) > 1 or sys.platform == "win32":
            _kill(child)
        else:
            _send(child, signal.SIGTERM)

    previous = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, old in previous.items():
            # None stands for a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _kill(child: subprocess.Popen[str]) -> None:
    """End the child and what it has started, if it still runs."""
    if sys.platform == "win32":
        if child.poll() is None:
            end = ["taskkill", "/F", "/T", "/PID", str(child.pid)]
            subprocess.run(end, capture_output=True, check=False)
    else:
        _send(child, signal.SIGKILL)


def _send(child: subprocess.Popen[str], number: int) -> None:
    """A signal to the child's group, which is there as long as one of its processes is."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        # All of them have ended; macOS says so with a PermissionError.
        return
