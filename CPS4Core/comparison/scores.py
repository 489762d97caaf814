"""What the finished runs of a comparison scored, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from CPS4Core.comparison.execute import COST, SCORES
from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.files import read_json
from CPS4Core.model_folder import read_model


@dataclass(frozen=True)
class RunScores:
    """One finished run: `cases` holds its measures by case id and name, `cost` what it cost
    (`seconds` of stage 2, `stage1_seconds` of the stage 1 that it may share with others, and what
    the model's description says of its training)."""

    cell: Cell
    cases: Mapping[str, Mapping[str, float]]
    cost: Mapping[str, float]

    def mean(self, measure: str) -> float | None:
        """The mean over cases that have the measure."""
        values = [m[measure] for m in self.cases.values() if m.get(measure) is not None]
        return mean(values) if values else None


@dataclass(frozen=True)
class Spread:
    """Mean and SD of a measure over seeds; the SD of one seed is None."""

    mean: float
    sd: float | None
    seeds: int


def read_scores(matrix: Matrix) -> list[RunScores]:
    """The finished runs of a matrix, in its order."""
    found = []
    for cell in matrix.cells:
        folder = matrix.folder(cell)
        if folder == matrix.stage1_folder(cell) or not (folder / SCORES).is_file():
            continue
        content = read_json(folder / SCORES, "scores of a run")
        cases = {case: entry["measures"] for case, entry in content["cases"].items()}
        cost = _cost(folder)
        first = matrix.stage1_folder(cell)
        if first is not None and "seconds" in (before := _cost(first)):
            cost["stage1_seconds"] = before["seconds"]
        if not matrix.rows[cell.row].outside:
            cost |= read_model(folder / "model").metrics["stage2"].get("cost", {})
        found.append(RunScores(cell, cases, cost))
    return found


def read_map_scores(matrix: Matrix) -> list[RunScores]:
    """Scores of the prompt maps of every stage 1, under the name of the row's objective."""
    found: dict[str, RunScores] = {}
    for cell in matrix.cells:
        folder = matrix.stage1_folder(cell)
        if folder is None or folder.name in found or not (folder / SCORES).is_file():
            continue
        content = read_json(folder / SCORES, "scores of prompt maps")
        cases = {case: entry["measures"] for case, entry in content["cases"].items()}
        found[folder.name] = RunScores(cell, cases, {})
    return list(found.values())


def _cost(folder: Path) -> dict[str, float]:
    return read_json(folder / COST) if (folder / COST).is_file() else {}


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
