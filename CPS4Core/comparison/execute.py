"""Running a comparison: every step of every run is a `cps4` command.

A finished step is not repeated, a failed run does not stop the others, and several processes or
machines may work on one output folder: each run is locked while somebody works on it.

results/RUN.json     the last step: this run is finished
runs/RUN/cost.json   the seconds of the training
logs/RUN.txt         what its commands said, and how long each took
commands.txt         every command, to be run by hand
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from CPS4Core.comparison.commands import Commands
from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.comparison.pool import Pool
from CPS4Core.comparison.results import (
    BEGUN,
    COST,
    MODEL,
    STAGE1_MODEL,
    ResultFile,
    keep_finished,
)
from CPS4Core.comparison.shared_training import training_of
from CPS4Core.comparison.shared_warmup import WARMED_UP, warmup_folder
from CPS4Core.comparison.steps import Steps
from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_json
from CPS4Core.progress import Progress

COMMANDS = "commands.txt"
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
    _trained: set[Cell] = field(default_factory=set)
    """Whose training ended here, be its own result written yet or not."""
    _processes: Pool = field(default_factory=Pool)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run all cells that are not finished; `failed` and `busy` say what was not done.

        Raises Cancelled when asked to stop: running trainings stop at their next safe point and go
        on from there the next time.
        """
        keep_finished(self.matrix, cells)
        todo = [cell for cell in cells if not self.is_finished(cell)]
        done = len(cells) - len(todo)
        if done:
            self.progress.message(f"{done} of {len(cells)} runs were finished before")
        with closing(self._processes), ThreadPoolExecutor(self.jobs) as pool:
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
        """Whether a run has its result; raises CPS4Error for one of another configuration."""
        return ResultFile.of_run(self.matrix, cell).read() is not None

    def _finished(self, work: dict[Future[None], Cell]) -> Iterator[Cell]:
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
        """Stage 1 where it is needed, training, segmentation, scores: all in one process."""
        result = ResultFile.of_run(self.matrix, cell)
        commands = Commands(self.matrix, cell, device, self.threads)
        with self._claimed(result.folder, wait_for_it=False):
            if self.is_finished(cell):
                return
            with self._process(result.folder, commands) as process:
                if result.stage1:
                    self._stage1(process, result, commands)
                    return
                # Not the lock of its run, which the training's own row must find free.
                training = result.trained.with_name(f"{result.trained.name}.training")
                with self._claimed(training, wait_for_it=True):
                    self._training(process, commands)
                self._work(process, commands.scoring())
                result.write()

    def _training(self, process: Steps, commands: Commands) -> None:
        """A training, after the stage 1 and the warm-up that it needs; one that is finished, by
        another row that shares it, is not begun again."""
        cell = training_of(self.matrix, commands.cell)
        commands, result = replace(commands, cell=cell), ResultFile.of_run(self.matrix, cell)
        known = cell in self._trained or result.read() is not None
        finished = (result.folder / MODEL).is_file()
        if known and finished:
            return
        first, warm = ResultFile.of_stage1(self.matrix, cell), warmup_folder(self.matrix, cell)
        if finished:  # what it went on from may be gone
            warm = None
            first = None if first is None or first.read() is not None else first
        if first is not None:
            with self._claimed(first.folder, wait_for_it=True):
                self._stage1(process, first, commands)
        if warm is not None:
            with self._claimed(warm, wait_for_it=True):
                self._warm_up(process, warm, commands)
        line = commands.training(first.folder if first else None, warm)
        self._train(process, commands.run, line)
        self._trained.add(cell)

    def _stage1(self, process: Steps, result: ResultFile, commands: Commands) -> None:
        """Stage 1 and its scores; where only its folder is gone, the training alone."""
        scored = result.read() is not None
        if scored and (result.folder / STAGE1_MODEL).is_file():
            return
        training, *scoring = commands.stage1(result.folder)
        self._train(process, result.folder, training)
        if not scored:
            self._work(process, scoring)
            result.write()

    def _warm_up(self, process: Steps, run: Path, commands: Commands) -> None:
        if not (run / WARMED_UP).is_file():
            self._train(process, run, commands.warmup(run))
            write_json(run / WARMED_UP, read_json(run / COST))

    def _train(self, process: Steps, run: Path, line: list[str]) -> None:
        cost = read_json(run / COST) if (run / COST).is_file() else {"seconds": 0.0}
        began = time.monotonic()
        try:
            self._work(process, [line])
        finally:  # the seconds of an interrupted training count, too
            cost["seconds"] += time.monotonic() - began
            if any((run / name).is_file() for name in BEGUN):  # else the folder is not ours
                write_json(run / COST, cost)

    def _work(self, process: Steps, lines: Iterable[list[str]]) -> None:
        """Run commands; each is written to commands.txt and, with what it says, to the log."""
        for line in lines:
            text = shlex.join(["cps4", *line])
            self._processes.check()
            with self._lock, open(self.matrix.output / COMMANDS, "a", encoding="utf-8") as file:
                file.write(f"{text}\n")
            with open(process.log, "a", encoding="utf-8") as file:
                file.write(f"$ {text}\n")
            began = time.monotonic()
            code = process.run(line)
            with open(process.log, "a", encoding="utf-8") as file:
                file.write(f"# {time.monotonic() - began:.1f} s\n")
            if code:
                said = process.log.read_text(encoding="utf-8", errors="replace").splitlines()
                last = next(t for t in reversed(said) if t.strip() and t[0] != "#")
                raise RunFailed(f"{line[0]} ended with {code}: {last} (log: {process.log})")

    def _process(self, run: Path, commands: Commands) -> AbstractContextManager[Steps]:
        """The process of a run's commands; that of an outside peer is its own."""
        # The run's folder must be the training's own: the log lies elsewhere.
        log = self.matrix.output / "logs" / f"{run.name}.txt"
        ours = self.matrix.rows[commands.cell.row].outside is None
        return self._processes.process(log, commands.environment, keep=ours)

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

    def _stop(self, work: dict[Future[None], Cell]) -> None:
        self._processes.stop()  # cps4 saves and stops at its next safe point
        for future in work:
            future.cancel()


def run_matrix(
    matrix: Matrix,
    cells: Sequence[Cell] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Executor:
    """Check the matrix and run `cells` (default all)."""
    if jobs < 1:
        raise CPS4Error(f"--jobs is {jobs}", cure="Give 1 or more")
    matrix.check()
    work = Executor(matrix, jobs, threads, device, progress or Progress())
    work.run(matrix.cells if cells is None else cells)
    return work
