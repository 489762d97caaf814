"""Evaluate a folder of predictions against a folder of label maps, case by case."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.case import CaseScores, Settings, evaluate_case
from CPS4Core.evaluation.confidences import add_confidences, read_confidences
from CPS4Core.evaluation.matching import Pair
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema


@dataclass
class Evaluation:
    """Scores sorted by case id, and what went wrong.

    failures: {case id: message} of cases without usable prediction or truth. Those without a usable
        prediction are scored 0 (as an empty one) and stand in `scores` too, unless left out.
    left_out: case ids without a prediction that were to be left out.
    """

    schema: LabelSchema
    settings: Settings
    scores: list[CaseScores] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def usable_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def evaluate_pairs(
    pairs: Sequence[Pair],
    schema: LabelSchema,
    settings: Settings | None = None,
    *,
    prediction_schema: LabelSchema | None = None,
    allow_missing: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Score every pair; a bad case is reported and the rest goes on.

    Parameters
    ----------
    prediction_schema: of the predictions if it differs; structures are matched by name.
    allow_missing: leave a case without a prediction out instead of counting it as empty.
    workers: processes; with 1 the work is done in this one.

    Raises Cancelled when asked to stop.
    """
    progress = progress or Progress()
    result = Evaluation(schema, settings or Settings())
    usable = []
    for pair in pairs:
        if pair.prediction is None and allow_missing:
            result.left_out.append(pair.case)
            progress.message(f"{pair.case}: no prediction, left out", "warning")
        else:
            usable.append(pair)
    job = partial(score_pair, schema=schema, settings=result.settings, own=prediction_schema)
    with _runner(min(workers, len(usable))) as run:
        for case, scores, failure in progress.track(
            run(job, usable), "evaluate", total=len(usable)
        ):
            if scores is not None:
                result.scores.append(scores)
            if failure is not None:
                result.failures[case] = failure
                outcome = "left out" if scores is None else "counts 0"
                progress.message(f"{case}: {failure} This case {outcome}.", "error")
    result.scores.sort(key=lambda s: s.case)
    return result


Outcome = tuple[str, "CaseScores | None", "str | None"]


def score_pair(
    pair: Pair, schema: LabelSchema, settings: Settings, own: LabelSchema | None = None
) -> Outcome:
    """(case id, scores or None, error message or None) of one pair.

    Without a usable prediction the case is scored as if nothing had been predicted.
    """
    from CPS4Core.volumes.reading import read_label_map
    from CPS4Core.volumes.sagittal import to_sagittal

    try:
        truth_image = read_label_map(pair.label)
        stack = to_sagittal(truth_image)
        truth = schema.to_indices(stack.array)
    except (CPS4Error, OSError, RuntimeError, ValueError, MemoryError) as error:
        return pair.case, None, f"The label map cannot be used. {_without_path(error)}"
    failure = None
    prediction = np.zeros_like(truth)
    try:
        if pair.prediction is None:
            raise CPS4Error(
                "There is no prediction", cure="Segment the case, or leave it out: --allow-missing"
            )
        values = to_sagittal(read_label_map(pair.prediction, like=truth_image)).array
        prediction = schema.to_indices(own.remap(values, schema) if own else values)
    except (CPS4Error, OSError, RuntimeError, ValueError, MemoryError) as error:
        failure = _without_path(error)
    scores = evaluate_case(pair.case, prediction, truth, stack.spacing, schema, settings)
    if failure is None and pair.prediction is not None:
        given = read_confidences(pair.prediction)
        if given is not None:
            add_confidences(scores, given, schema.class_names)
    return pair.case, scores, failure


def _without_path(error: Exception) -> str:
    """The message for results that may be passed on: the case id says enough about the file."""
    if isinstance(error, CPS4Error):
        return str(CPS4Error(error.cause, cure=error.cure))
    return f"{getattr(error, 'strerror', None) or str(error) or type(error).__name__}."


Job = Callable[[Pair], Outcome]


@contextmanager
def _runner(workers: int) -> Iterator[Callable[[Job, Sequence[Pair]], Iterator[Outcome]]]:
    """A function that runs a job on pairs, here or in processes, in the order of completion."""
    if workers <= 1:
        yield lambda job, pairs: (job(pair) for pair in pairs)
        return
    # A fresh interpreter each: a copy of this one would inherit locked threads of its libraries.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare_worker)

    def run(job: Job, pairs: Sequence[Pair]) -> Iterator[Outcome]:
        jobs: dict[Future[Outcome], str] = {pool.submit(job, p): p.case for p in pairs}
        for done in as_completed(jobs):
            try:
                yield done.result()
            except BrokenProcessPool:
                raise CPS4Error(
                    "A worker process ended unexpectedly, perhaps for lack of memory",
                    cure="Run the same command with --workers 1",
                ) from None

    try:
        yield run
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    # Ctrl-C reaches the whole group of processes; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
