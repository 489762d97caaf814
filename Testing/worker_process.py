"""A worker as another program sees it: a process with lines in and lines out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FINAL = ("result", "failed", "cancelled")


class WorkerProcess:
    """Starts a worker; as a context it is killed at the end, whatever happened."""

    def __init__(self, command: list[str] | None = None, **environment: str):
        path = [environment.pop("PYTHONPATH", ""), str(ROOT)]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *(command or ["-m", "CPS4Core", "worker"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._count = 0

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, **content: Any) -> None:
        """Write one object."""
        self.write(json.dumps(content).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self, timeout: float = 60) -> dict[str, Any]:
        """The next line; fails where none comes."""
        return json.loads(self._lines.get(timeout=timeout))

    def until(self, id: object, *events: str, timeout: float = 60) -> list[dict[str, Any]]:
        """Lines up to the one of this id that is one of the `events` (default: an answer)."""
        lines = [self.next(timeout)]
        while lines[-1].get("id") != id or lines[-1]["event"] not in (events or FINAL):
            lines.append(self.next(timeout))
        return lines

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        return self.talk(command, **arguments)[-1]

    def talk(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """The same with the events before it."""
        self._count += 1
        self.send(id=self._count, command=command, arguments=arguments)
        return [line for line in self.until(self._count) if line.get("id") == self._count]

    def close(self, timeout: float = 20) -> int:
        """End the input, as the death of the other program does; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout)

    def said(self) -> str:
        """What stands in the log."""
        self.log.seek(0)
        return self.log.read().decode()

    def rest(self) -> list[dict[str, Any]]:
        """The lines that came and were not taken, after the end."""
        lines = []
        while (line := self._lines.get(timeout=10)) != b"":
            lines.append(json.loads(line))
        return lines

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")
