"""The worker's process: its pipes, its log, its end. It takes all of its children with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

CHUNK = 1 << 16
"""Bytes that are read at once."""


class WorkerProcess:
    """A running worker. Raises OSError where it cannot be started.

    command, environment: as for subprocess. Standard error goes to a file, whose last line tells
    why a worker died; nobody has to read a second pipe that way.
    """

    def __init__(self, command: list[str], environment: dict[str, str]):
        # A group of its own: PythonSlicer is a launcher, and killing it alone leaves its child.
        group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            group = {"creationflags": flags}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                **group,
            )
        except OSError:
            self._log.close()
            raise
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._buffer = b""
        self._end_of_output = self._killed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is dead or can no longer answer, and all that it said has been read."""
        return self._end_of_output or self._process.poll() is not None

    def next_line(self) -> bytes | None:
        """The next whole line of its output; None if there is none yet. Never blocks."""
        if b"\n" not in self._buffer:
            # Ask before reading: what a process says right before its end must not be lost.
            dead = self._process.poll() is not None
            chunk = self._read()
            self._buffer += chunk
            while dead and chunk:
                chunk = self._read()
                self._buffer += chunk
        line, found, rest = self._buffer.partition(b"\n")
        if not found:
            return None
        self._buffer = rest
        return line

    def send(self, line: bytes) -> None:
        """Write a line; that the worker is dead shows at the next look, not here."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line)

    def last_words(self) -> str:
        """Why it ended: the last line of its log, and how it went."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # its output ends a moment before itself
        code = self._process.poll()
        if code is None:
            how = "it closed its output"
        elif code < 0:
            how = f"ended by signal {-code}"
            with contextlib.suppress(ValueError):
                how = f"ended by {signal.Signals(-code).name}"
            if code == -getattr(signal, "SIGKILL", 9):
                how += ", perhaps for lack of memory"
        else:
            how = f"exit code {code}"
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 20_000))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1].strip()[:300]}; {how}" if lines else how

    def stop(self, grace: float) -> None:
        """Ask it to end and wait up to `grace` seconds; then kill it."""
        self.send(json.dumps({"command": "shutdown"}).encode() + b"\n")
        self._close_input()
        end = time.monotonic() + grace
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        self.kill()
        self.close()

    def kill(self) -> None:
        """End it and its children at once."""
        if self._killed:
            return
        self._killed = True  # once: the number may belong to others afterwards
        if sys.platform == "win32":
            if self._process.poll() is None:
                subprocess.run(
                    ["taskkill", "/F", "/T", "/PID", str(self.pid)],
                    capture_output=True,
                    creationflags=subprocess.CREATE_NO_WINDOW,
                )
        else:
            # Also where the leader is gone: its children are still in the group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def close(self) -> None:
        """Let go of the pipes and the log; kill what is left."""
        self._close_input()
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._out, CHUNK)
        except OSError:  # nothing there now (on Windows a broken pipe is the same error)
            return b""
        self._end_of_output = not chunk
        return chunk
