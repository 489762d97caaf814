"""The tables of a comparison: the paper's, errors of numbering and of shape apart, and cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from CPS4Core.comparison.matrix import Matrix
from CPS4Core.comparison.scores import RunScores, by_case, select, spread
from CPS4Core.comparison.significance import Paired, paired_tests, smallest_p
from CPS4Core.files import write_text

MAIN = {"dice": "mDice", "iou": "mIoU"}
APART = {
    "dice_vertebrae": "vertebrae",
    "dice_discs": "discs",
    "shape_dice_vertebrae": "shape, vertebrae",
    "shape_dice_discs": "shape, discs",
    "dice_best_shift": "after the best shift",
    "level_accuracy": "right level",
    "every_level_right": "all levels right",
    "dice_without_rare": "without rare levels",
}
SIGNIFICANT = 0.05


@dataclass
class ResultTable:
    """A table for people: caption, head and rows of text."""

    caption: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """As Markdown."""
        lines = [f"**{self.caption}**", "", "| " + " | ".join(self.head) + " |"]
        lines.append("|" + "---|" * len(self.head))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def main_table(matrix: Matrix, runs: list[RunScores], reference: str) -> ResultTable:
    """The paper's table: rows by ratios, mDice and mIoU in %, mean and SD over seeds.

    `*` marks a difference to the reference row that is significant (Wilcoxon over cases, Holm over
    the rows of a ratio).
    """
    tests = {ratio: significance(matrix, runs, ratio, reference) for ratio in matrix.labelled}
    head = ["method", *(f"{m}, {ratio}" for ratio in matrix.labelled for m in MAIN.values())]
    table = ResultTable(
        f"Mean ± SD over seeds {_seeds(matrix)}, in %; * differs from {reference} "
        f"(p < {SIGNIFICANT}, Wilcoxon over cases, Holm)",
        head,
    )
    for row in matrix.rows:
        cells = [row]
        for ratio in matrix.labelled:
            chosen = select(matrix, runs, row, ratio)
            for measure in MAIN:
                test = tests[ratio].get(row)
                marked = measure == "dice" and test and (test.p_holm or 1) < SIGNIFICANT
                cells.append(_percent(chosen, measure) + (" *" if marked else ""))
                if measure == "dice" and 0 < len(chosen) < len(matrix.seeds):
                    cells[-1] += f" ({len(chosen)} of {len(matrix.seeds)} seeds)"
        table.rows.append(cells)
    return table


def numbering_table(matrix: Matrix, runs: list[RunScores], ratio: str) -> ResultTable:
    """Where the errors of each row lie: in the numbering or in the shape."""
    shown = {m: text for m, text in APART.items() if any(r.mean(m) is not None for r in runs)}
    table = ResultTable(
        f"{ratio} labelled: numbering and shape apart, in %; of each seed the epoch that validated "
        "best (with a warm-up it may be one of it: the unlabelled slices then gave nothing)",
        ["method", *shown.values(), "epoch"],
    )
    for row in matrix.rows:
        chosen = select(matrix, runs, row, ratio)
        if chosen:
            epochs = ", ".join("-" if run.epoch is None else str(run.epoch) for run in chosen)
            measures = (_percent(chosen, measure) for measure in shown)
            table.rows.append([row, *measures, epochs])
    return table


def significance_table(
    matrix: Matrix, runs: list[RunScores], ratio: str, reference: str
) -> ResultTable:
    """Every row against the reference at one ratio."""
    tests = significance(matrix, runs, ratio, reference)
    table = ResultTable(
        f"{ratio} labelled: difference of mDice to {reference}, in points{_limit(tests)}",
        ["method", "difference", "p", "p after Holm", "cases"],
    )
    for row, test in tests.items():
        p = ["" if v is None else f"{v:.3g}" for v in (test.p, test.p_holm)]
        table.rows.append([row, f"{100 * test.difference:+.1f}", *p, str(test.cases)])
    return table


def cost_table(matrix: Matrix, runs: list[RunScores]) -> ResultTable:
    """What a row costs; seconds as medians over its finished runs: some may have been paused."""
    columns = {
        "trained_parameters": "parameters trained",
        "inference_parameters": "parameters in use",
        "steps": "steps",
        "updates": "updates a step",
        "forwards": "forward passes a step",
        "backwards": "backward passes a step",
    }
    times = {
        "seconds": "seconds",
        "warmup_seconds": "seconds, shared warm-up",
        "stage1_seconds": "seconds, stage 1",
    }
    table = ResultTable(
        "Cost of a training (stage 2; stage 1 and a shared warm-up apart; seconds: the median)",
        ["method", *columns.values(), *times.values()],
    )
    for row in matrix.rows:
        mine = [r.cost for r in runs if r.cell.row == row]
        if mine:
            counts = [_count(mine[0].get(name)) for name in columns]
            spent = ([cost[name] for cost in mine if name in cost] for name in times)
            table.rows.append([row, *counts, *(f"{median(s):.0f}" if s else "" for s in spent)])
    return table


def significance(
    matrix: Matrix, runs: list[RunScores], ratio: str, reference: str
) -> dict[str, Paired]:
    """Row -> its paired test on mDice, over the seeds that both it and the reference have."""
    base, pairs = select(matrix, runs, reference, ratio), {}
    for row in matrix.rows:
        mine = select(matrix, runs, row, ratio)
        both = {r.cell.seed for r in base} & {r.cell.seed for r in mine}
        if row != reference and both:
            ours, theirs = (
                by_case([r for r in some if r.cell.seed in both], "dice") for some in (mine, base)
            )
            pairs[row] = (ours, theirs)
    return paired_tests(pairs)


def write_csv(runs: Sequence[RunScores], path: Path) -> None:
    """One line a run and case, every measure: what the tables are made from."""
    measures = list(dict.fromkeys(m for r in runs for case in r.cases.values() for m in case))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "labelled", "seed", "case", *measures])
    for run in runs:
        for case, values in run.cases.items():
            cell = run.cell
            shown = ("" if values.get(m) is None else values[m] for m in measures)
            writer.writerow([cell.row, cell.labelled, cell.seed, case, *shown])
    write_text(path, text.getvalue())


def _limit(tests: Mapping[str, Paired]) -> str:
    """What so few cases can show at all, where that is nothing."""
    tested = [test for test in tests.values() if test.p is not None]
    least = min((smallest_p(test.cases) for test in tested), default=0.0)
    if least * len(tested) < SIGNIFICANT:
        return ""
    return (
        f"; {max(t.cases for t in tested)} cases give no p below {least:.2g}, "
        f"with {len(tested)} rows none below {min(1.0, least * len(tested)):.2g} after Holm"
    )


def _percent(runs: list[RunScores], measure: str) -> str:
    found = spread(runs, measure)
    if found is None:
        return ""
    sd = "" if found.sd is None else f" ± {100 * found.sd:.1f}"
    return f"{100 * found.mean:.1f}{sd}"


def _count(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value:g}"


def _seeds(matrix: Matrix) -> str:
    return ", ".join(map(str, matrix.seeds))
