"""Pictures of a comparison: ratio curve, training curves, component ablation, overlays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.comparison.matrix import Matrix
from CPS4Core.comparison.scores import RunScores, mean_curve, select, spread
from CPS4Core.files import atomic_path

WIDTH_INCHES, HEIGHT_INCHES, DPI = 7.5, 4.5, 130
ASIDE = 0.3
"""Of the step from one ratio to the next, what the rows take side by side."""
FOUND = "found"
"""Where a run's folder holds its segmentations."""


def ratio_curve(matrix: Matrix, runs: list[RunScores], path: Path) -> None:
    """mDice against the labelled ratio, a line a row with its SD over seeds (the paper's fig. 4b).

    The best row at the smallest ratio comes first in the legend.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, HEIGHT_INCHES))
    places = range(len(matrix.labelled))
    lines = []
    for number, row in enumerate(matrix.rows):
        color = plt.get_cmap("tab20")(number % 20)
        if matrix.rows[row].labelled:  # the same at every ratio
            bound = spread(select(matrix, runs, row, matrix.labelled[0]), "dice")
            if bound:
                axes.axhline(100 * bound.mean, label=row, color=color, linestyle="--", linewidth=1)
            continue
        found = [spread(select(matrix, runs, row, ratio), "dice") for ratio in matrix.labelled]
        known = [(x, s) for x, s in zip(places, found, strict=True) if s]
        if known:
            lines.append((known[0][1].mean, number, row, known))
    for _, number, row, known in sorted(lines, reverse=True):
        # Side by side, so that one row's spread does not cover another's.
        aside = ASIDE * (number / max(1, len(matrix.rows) - 1) - 0.5)
        axes.errorbar(
            [x + aside for x, _ in known],
            [100 * s.mean for _, s in known],
            [100 * (s.sd or 0) for _, s in known],
            markersize=5,
            capsize=2,
            **_look(number, row),
        )
    axes.set_xticks(list(places), matrix.labelled)
    axes.set_xlabel("labelled training cases")
    axes.set_ylabel("mDice, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def training_curves(matrix: Matrix, runs: list[RunScores], path: Path) -> bool:
    """mDice of the validation cases by epoch, a panel a ratio, a line a row (mean over seeds).

    Nothing is written, and False returned, where no run has such a curve.
    """
    curves = {
        (ratio, row): mean_curve(select(matrix, runs, row, ratio), "validation/mdice")
        for ratio in matrix.labelled
        for row in matrix.rows
    }
    shown = [row for row in matrix.rows if any(curves[r, row] for r in matrix.labelled)]
    if not shown:
        return False
    plt = _pyplot()
    across = min(2, len(matrix.labelled))
    down = -(-len(matrix.labelled) // across)
    size = (WIDTH_INCHES * (0.4 + 0.6 * across), HEIGHT_INCHES * (0.2 + 0.8 * down))
    figure, grid = plt.subplots(down, across, squeeze=False, sharey=True, figsize=size)
    for axes, ratio in zip(grid.flat, matrix.labelled, strict=False):
        for number, row in enumerate(matrix.rows):
            if row in shown:  # an empty line, too: the legend of one panel names all
                curve = curves[ratio, row]
                values = [100 * value for value in curve.values()]
                axes.plot([*curve], values, markersize=3, **_look(number, row))
        axes.set_title(f"{ratio} labelled", fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    for axes in grid[:, 0]:
        axes.set_ylabel("mDice of the validation cases, %")
    for axes in grid.flat[len(matrix.labelled) :]:
        axes.set_visible(False)
    grid[0, -1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout()
    _save(figure, path)
    return True


def ablation_bars(
    matrix: Matrix, runs: list[RunScores], rows: Sequence[str], ratio: str, path: Path
) -> None:
    """mDice of some rows at one ratio (the paper's fig. 4a)."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES * 0.7, HEIGHT_INCHES * 0.8))
    for place, row in enumerate(rows):
        found = spread(select(matrix, runs, row, ratio), "dice")
        if found is None:
            continue
        sd = None if found.sd is None else 100 * found.sd
        axes.bar(place, 100 * found.mean, yerr=sd, capsize=4, color="#4878a8")
        height = 100 * (found.mean + (found.sd or 0))
        axes.annotate(f"{100 * found.mean:.1f}", (place, height), ha="center", va="bottom")
    axes.set_xticks(range(len(rows)), rows, rotation=15)
    axes.margins(y=0.15)
    axes.set_ylabel(f"mDice, %, {ratio} labelled")
    axes.grid(axis="y", alpha=0.3)
    _save(figure, path)


def overlays(matrix: Matrix, runs: list[RunScores], ratio: str, path: Path) -> list[str]:
    """Image, truth and every row's labels on two cases (the paper's fig. 3); returns their ids.

    The cases are the median and the worst one of the last row, on the first seed: not the best.
    """
    from CPS4Core.evaluation.matching import label_files
    from CPS4Core.report.comparison_picture import comparison_picture
    from CPS4Core.volumes.reading import read_label_map, read_volume
    from CPS4Core.volumes.sagittal import to_sagittal

    seed = matrix.seeds[0]
    wanted = {matrix.cell(row, ratio, seed) for row in matrix.rows}
    here = (r for r in runs if r.cell in wanted and (matrix.folder(r.cell) / FOUND).is_dir())
    mine = {r.cell.row: r for r in here}
    if not mine:
        return []
    judge = mine.get([*matrix.rows][-1]) or [*mine.values()][-1]
    ranked = sorted(judge.cases, key=lambda case: judge.cases[case]["dice"] or 0.0)
    chosen = list(dict.fromkeys((ranked[len(ranked) // 2], ranked[0])))
    study = matrix.opened
    held = study.test_cases | study.cases
    pictures, spacings, notes = [], [], []
    for case in chosen:
        label = held[case].label
        assert label is not None
        stack = to_sagittal(read_volume(held[case].image))
        truth = study.schema.to_indices(to_sagittal(read_label_map(label)).array)
        shown = int(((truth > 0) & (truth < 255)).sum(axis=(1, 2)).argmax())
        found: dict[str, np.ndarray] = {}
        scores: dict[str, str] = {}
        for row, run in mine.items():
            file = label_files(matrix.folder(run.cell) / FOUND).get(case)
            if file is not None and case in run.cases:
                values = to_sagittal(read_label_map(file)).array
                found[row] = study.schema.to_indices(values)[shown]
                scores[row] = f"{run.cases[case]['dice']:.2f}"
        pictures.append((f"{case}, {ratio} labelled", stack.array[shown], truth[shown], found))
        spacings.append(stack.spacing[1:])
        notes.append(scores)
    comparison_picture(pictures, study.schema, path, spacings, notes=notes)
    return chosen


def _look(number: int, row: str) -> dict[str, Any]:
    """The line of a row: no two of 100 rows have the same colour and marker."""
    return {
        "label": row,
        "color": _pyplot().get_cmap("tab20")(number % 20),
        "marker": "osD^v<>P*X"[(number + number // 20) % 10],
        "linewidth": 2.4 if row.startswith("cps4") else 1.2,
    }


def _pyplot():  # type: ignore[no-untyped-def]
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure, path: Path) -> None:  # type: ignore[no-untyped-def]
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, bbox_inches="tight")
    _pyplot().close(figure)
