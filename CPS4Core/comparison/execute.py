"""Running a comparison: every step of every run is a `cps4` command of its own.

A finished step is not repeated, a failed run does not stop the others, and several processes or
machines may work on one output folder: each run is locked while somebody works on it.

RUN/scores/metrics.json   the last step: this run is finished
RUN/cost.json             what the training cost
RUN/log.txt               what its commands said
commands.txt              every command, to be run by hand
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.files import read_json, write_json
from CPS4Core.progress import Progress

SCORES, COST, LOG, COMMANDS = "scores/metrics.json", "cost.json", "log.txt", "commands.txt"
POLL_SECONDS = 0.5


class RunFailed(Exception):
    """A command of a run failed; the text says why."""


@dataclass
class Executor:
    """Works through the cells of a matrix.

    jobs: runs side by side; threads: CPU threads of each; device: as `cps4 train` names it, or
    several by comma, given out to the jobs in turn.
    """

    matrix: Matrix
    jobs: int = 1
    threads: int | None = None
    device: str = "auto"
    progress: Progress = field(default_factory=Progress)
    failed: dict[str, str] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)
    """Runs that another process works on."""
    _children: set[subprocess.Popen[str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def run(self, cells: Sequence[Cell]) -> None:
        """Run all cells that are not finished; `failed` and `busy` say what was not done.

        Raises Cancelled when asked to stop: running trainings stop at their next safe point and go
        on from there the next time.
        """
        todo = [cell for cell in cells if not self.is_finished(cell)]
        done = len(cells) - len(todo)
        if done:
            self.progress.message(f"{done} of {len(cells)} runs were finished before")
        with ThreadPoolExecutor(self.jobs) as pool:
            work = {
                pool.submit(self._cell, cell, self._device(number)): cell
                for number, cell in enumerate(todo)
            }
            try:
                for _ in self.progress.track(self._finished(work), "runs", len(cells), done):
                    pass
            except BaseException:
                self._stop(work)
                raise

    def is_finished(self, cell: Cell) -> bool:
        """Whether a run has its scores."""
        return (self.matrix.folder(cell) / SCORES).is_file()

    def _finished(self, work: dict) -> Iterator[Cell]:
        waiting = set(work)
        while waiting:
            ended, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            self.progress.check()
            for future in ended:
                cell = work[future]
                try:
                    future.result()
                except Timeout:
                    self.busy.append(cell.name)
                except (RunFailed, CPS4Error) as error:
                    self.failed[cell.name] = str(error)
                    self.progress.message(f"{cell.name}: {error}", "error")
                yield cell

    def _device(self, number: int) -> str:
        devices = self.device.split(",")
        return devices[number % len(devices)]

    def _cell(self, cell: Cell, device: str) -> None:
        """Stage 1 where it is needed, training, segmentation, scores."""
        run = self.matrix.folder(cell)
        with self._claimed(run, wait_for_it=False):
            if self.is_finished(cell):
                return
            first = self.matrix.stage1_folder(cell)
            if first is not None:
                with self._claimed(first, wait_for_it=True):
                    self._stage1(cell, first, device)
            self._train(cell, run, first, device)
            self._score(cell, run, device)

    def _stage1(self, cell: Cell, run: Path, device: str) -> None:
        """Stage 1, and the scores of its prompt maps on cases whose label it did not see."""
        if (run / SCORES).is_file():
            return
        self._cps4(run, "pretrain", *self._training(cell, device), "--output", run)
        study = self.matrix.opened
        selection = self.matrix.selection(cell.labelled, cell.seed)
        held_out = [c for c in (*selection.val, *selection.unlabelled) if study.cases[c].label]
        if not held_out:
            return
        images = [study.cases[c].image for c in held_out]
        self._cps4(run, "maps", *images, "--model", run, "--output", run / "maps", *self._where())
        self._evaluate(run, run / "maps" / "integrated")

    def _train(self, cell: Cell, run: Path, first: Path | None, device: str) -> None:
        arguments = [*self._training(cell, device), "--output", run]
        arguments += ["--method", self.matrix.rows[cell.row].method]
        if first is not None:
            arguments += ["--pretrained", first]
        cost = read_json(run / COST) if (run / COST).is_file() else {"seconds": 0.0}
        began = time.monotonic()
        try:
            self._cps4(run, "train", *arguments)
        finally:  # the seconds of an interrupted training count, too
            cost["seconds"] += time.monotonic() - began
            if run.is_dir():
                write_json(run / COST, cost)

    def _score(self, cell: Cell, run: Path, device: str) -> None:
        study, matrix = self.matrix.opened, self.matrix
        held = {**study.test_cases, **study.cases}
        scored = matrix.scored_cases(matrix.selection(cell.labelled, cell.seed))
        images = [held[c].image for c in scored]
        self._cps4(
            run,
            *("segment", *images, "--model", run, "--output", run / "found", "--no-qc"),
            *("--device", device, "--engine", "torch", *self._where()),
        )
        self._evaluate(run, run / "found")

    def _evaluate(self, run: Path, found: Path) -> None:
        truth = ["--unjudged", self.matrix.unjudged] if self.matrix.unjudged else []
        self._cps4(
            run,
            *("evaluate", found, self.matrix.study, "--allow-missing", "--no-distances"),
            *("--workers", 1, "--output", run / "scores", *truth),
        )

    def _training(self, cell: Cell, device: str) -> list[object]:
        matrix = self.matrix
        options = [part for s in matrix.row_settings(cell.row) for part in ("--set", s)]
        return [
            *(matrix.study, "--preset", matrix.preset, "--labelled", cell.labelled),
            *("--order", matrix.order(cell.seed), "--seed", cell.seed, "--device", device),
            *("--cache", matrix.output / "cache", *self._where(), *options),
        ]

    def _where(self) -> list[object]:
        return ["--threads", self.threads] if self.threads else []

    def _cps4(self, run: Path, *arguments: object) -> None:
        """One command; its line goes to commands.txt, what it says to the run's log."""
        line = [str(a) for a in arguments]
        output = self.matrix.output
        log = output / "logs" / f"{run.name}.txt"  # the run's folder must be the training's own
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if self._stopped:
                raise Cancelled("cancelled")
            with open(output / COMMANDS, "a", encoding="utf-8") as file:
                file.write(f"cps4 {shlex.join(line)}\n")
            child = subprocess.Popen(
                [sys.executable, "-m", "CPS4Core", "--quiet", *line],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            self._children.add(child)
        try:
            said, _ = child.communicate()
        finally:
            with self._lock:
                self._children.discard(child)
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ cps4 {shlex.join(line)}\n{said}")
        if child.returncode:
            last = next((t for t in reversed(said.splitlines()) if t.strip()), "no message")
            raise RunFailed(f"{line[0]} ended with {child.returncode}: {last} (log: {log})")

    @contextmanager
    def _claimed(self, run: Path, wait_for_it: bool) -> Iterator[None]:
        """Hold a run, against other threads, processes and machines; a dead owner's lock is free.

        Raises Timeout where somebody else holds it and it is not to be waited for.
        """
        folder = self.matrix.output / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{run.name}.lock", thread_local=False)
        with lock.acquire(timeout=-1 if wait_for_it else 0):
            yield

    def _stop(self, work: dict) -> None:
        with self._lock:
            self._stopped = True
            for child in self._children:
                child.terminate()  # cps4 saves and stops at its next safe point
        for future in work:
            future.cancel()


def run_matrix(
    matrix: Matrix,
    cells: Sequence[Cell] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    executor: Callable[..., Executor] = Executor,
) -> Executor:
    """Check the matrix and run `cells` (default all)."""
    if jobs < 1:
        raise CPS4Error(f"--jobs is {jobs}", cure="Give 1 or more")
    matrix.check()
    work = executor(matrix, jobs, threads, device, progress or Progress())
    work.run(matrix.cells if cells is None else cells)
    return work
