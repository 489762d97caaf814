"""The processes of a comparison's jobs: a run goes on in the process of one that has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from CPS4Core.comparison.steps import Steps
from CPS4Core.errors import Cancelled


class Pool:
    """Processes that load torch once; as many as there are runs at the same time."""

    def __init__(self) -> None:
        self._idle: list[Steps] = []
        self._busy: set[Steps] = set()
        self._lock = threading.Lock()
        self._stopped = False

    @contextmanager
    def process(self, log: Path, environment: dict[str, str], keep: bool) -> Iterator[Steps]:
        """A process for the commands of one run, an idle one where its environment is the same.

        It is kept for the next run if nothing of this one failed. Without `keep` the run has one of
        its own, which ends with it.
        """
        process = self._take(log, environment, keep)
        good = False
        try:
            yield process
            good = True
        finally:
            with self._lock:
                self._busy.discard(process)
                kept = keep and good and process.alive and not self._stopped
                if kept:
                    self._idle.append(process)
            if not kept:
                process.close()

    def check(self) -> None:
        """Raise Cancelled once `stop` was called."""
        with self._lock:
            self._check()

    def stop(self) -> None:
        """Ask all commands to stop at their next safe point; no further one begins."""
        with self._lock:
            self._stopped = True
            for process in self._busy:
                process.terminate()

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def _take(self, log: Path, environment: dict[str, str], idle: bool) -> Steps:
        with self._lock:
            self._check()
            same = (p for p in self._idle if p.alive and p.environment == environment)
            process = next(same, None) if idle else None
            if process is None:
                process = Steps(log, environment)
            else:
                self._idle.remove(process)
                process.log = log
            self._busy.add(process)
            return process

    def _check(self) -> None:
        if self._stopped:
            raise Cancelled("cancelled")
