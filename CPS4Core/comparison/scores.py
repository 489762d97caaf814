"""What the finished runs of a comparison scored, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.comparison.results import Result, ResultFile


@dataclass(frozen=True)
class RunScores:
    """One finished run and its result."""

    cell: Cell
    result: Result

    @property
    def cases(self) -> Mapping[str, Mapping[str, float | None]]:
        """Measures by case id and name."""
        return self.result.cases

    @property
    def cost(self) -> Mapping[str, float]:
        """What it cost, see Result."""
        return self.result.cost

    def mean(self, measure: str) -> float | None:
        """The mean over cases that have the measure."""
        values = [v for m in self.cases.values() if (v := m.get(measure)) is not None]
        return mean(values) if values else None

    @property
    def epoch(self) -> int | None:
        """The epoch that validated best, whose weights were scored; None without validation."""
        curve = self.result.curve
        scores = curve.get("validation/mdice", [])
        pairs = zip(scores, curve.get("epoch", []), strict=False)
        known = [(score, -e) for score, e in pairs if score is not None and e is not None]
        return round(-max(known)[1]) if known else None


@dataclass(frozen=True)
class Spread:
    """Mean and SD of a measure over seeds; the SD of one seed is None."""

    mean: float
    sd: float | None
    seeds: int


def read_scores(matrix: Matrix) -> list[RunScores]:
    """The finished runs of a matrix, in its order; raises CPS4Error for results of another one."""
    found = []
    for cell in matrix.cells:
        file = ResultFile.of_run(matrix, cell)
        if not file.stage1 and (result := file.read()) is not None:
            found.append(RunScores(cell, result))
    return found


def read_map_scores(matrix: Matrix) -> list[RunScores]:
    """Scores of the prompt maps of every stage 1, under the name of the row's objective."""
    found: dict[str, RunScores] = {}
    for cell in matrix.cells:
        file = ResultFile.of_stage1(matrix, cell)
        if file is None or file.folder.name in found:
            continue
        result = file.read()
        if result is not None and result.cases:
            found[file.folder.name] = RunScores(cell, result)
    return list(found.values())


def select(matrix: Matrix, runs: list[RunScores], row: str, labelled: str) -> list[RunScores]:
    """The runs of one row at one ratio; a row with its own number of labels has the same at all."""
    chosen = {matrix.cell(row, labelled, seed) for seed in matrix.seeds}
    return [r for r in runs if r.cell in chosen]


def spread(runs: list[RunScores], measure: str) -> Spread | None:
    """Mean and SD over the runs (seeds) of their means over cases."""
    values = [value for run in runs if (value := run.mean(measure)) is not None]
    if not values:
        return None
    return Spread(mean(values), stdev(values) if len(values) > 1 else None, len(values))


def by_case(runs: list[RunScores], measure: str) -> dict[str, float]:
    """Case id -> mean over the runs that scored it."""
    cases = dict.fromkeys(case for run in runs for case in run.cases)
    found = {}
    for case in cases:
        values = [r.cases[case].get(measure) for r in runs if case in r.cases]
        present = [v for v in values if v is not None]
        if present:
            found[case] = mean(present)
    return found


def mean_curve(runs: list[RunScores], column: str) -> dict[float, float]:
    """Epoch -> mean of a column of the runs' curves, over those that have it there."""
    found: dict[float, list[float]] = {}
    for run in runs:
        curve = run.result.curve
        for epoch, value in zip(curve.get("epoch", []), curve.get(column, []), strict=False):
            if epoch is not None and value is not None:
                found.setdefault(epoch, []).append(value)
    return {epoch: mean(found[epoch]) for epoch in sorted(found)}
