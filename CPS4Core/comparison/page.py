"""A comparison as one HTML report and one Markdown file, made from whatever is finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from CPS4Core.comparison.attention import attention_picture
from CPS4Core.comparison.figures import (
    FOUND,
    ablation_bars,
    overlays,
    ratio_curve,
    training_curves,
)
from CPS4Core.comparison.matrix import Matrix
from CPS4Core.comparison.results import STAGE1_MODEL, ResultFile, keep_finished
from CPS4Core.comparison.scores import RunScores, read_map_scores, read_scores, spread
from CPS4Core.comparison.tables import (
    ResultTable,
    cost_table,
    main_table,
    numbering_table,
    significance_table,
    write_csv,
)
from CPS4Core.errors import CPS4Error
from CPS4Core.files import write_text
from CPS4Core.progress import Progress
from CPS4Core.report.html import Facts, Figure, Section, Table, Text, picture_source, write_report

REPORT, MARKDOWN, CASES = "report.html", "tables.md", "cases.csv"
ABLATION = ("mean-teacher", "cps4-token", "cps4-pixel", "cps4")
"""The paper's components: the baseline, each loss of stage 1 alone, both."""


def write_page(
    matrix: Matrix,
    reference: str,
    prompts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[RunScores]:
    """Write report.html, tables.md, cases.csv and the pictures; returns the finished runs.

    Pictures are of the runs whose folders are still there. Raises CPS4Error where no run is
    finished.
    """
    keep_finished(matrix, matrix.cells)
    runs, maps = read_scores(matrix), read_map_scores(matrix)
    if not (runs or maps):
        raise CPS4Error("No run of this comparison is finished", path=matrix.output)
    if reference not in matrix.rows:
        reference = [*matrix.rows][0]
    sections = [Section("What was compared", [Facts(_facts(matrix, runs))])]
    tables = [main_table(matrix, runs, reference)]
    sections.append(_missing(matrix))
    sections.append(_gone(matrix, runs, progress or Progress()))
    sections.append(Section("Methods", [_block(tables[0])]))
    for ratio in matrix.labelled:
        mine = [
            numbering_table(matrix, runs, ratio),
            significance_table(matrix, runs, ratio, reference),
        ]
        tables += mine
        sections.append(Section(f"{ratio} labelled", [_block(table) for table in mine]))
        sections[-1].blocks += _overlays(matrix, runs, ratio)
    if len(matrix.labelled) > 1 and runs:
        sections.append(Section("Labelled ratio", [_curve(matrix, runs)]))
    sections += _training(matrix, runs)
    sections += _ablation(matrix, runs)
    sections += _attention(matrix, prompts)
    if maps:
        tables.append(_map_table(matrix, maps))
        sections.append(Section("Prompt maps by themselves", [_block(tables[-1])]))
    tables.append(cost_table(matrix, runs))
    sections.append(Section("Cost", [_block(tables[-1])]))
    write_csv(runs, matrix.output / CASES)
    write_text(matrix.output / MARKDOWN, "\n".join(t.markdown() for t in tables))
    write_report(
        matrix.output / REPORT,
        f"Comparison on {matrix.opened.dataset.get('name', 'the study')}",
        [s for s in sections if s.blocks],
    )
    return runs


def _facts(matrix: Matrix, runs: list[RunScores]) -> list[tuple[str, Any]]:
    config = matrix.config([*matrix.rows][0])
    ours = [r for r in runs if matrix.needs_maps(r.cell.row)]
    weights = dict.fromkeys(w for r in ours if (w := r.result.encoder_weights))
    devices = dict.fromkeys(device for r in runs if (device := r.result.device))
    return [
        ("study", str(matrix.opened.dataset.get("name", matrix.study.name))),
        ("scored on", f"{matrix.scored} cases"),
        ("preset", " ".join((matrix.preset, *matrix.settings))),
        ("pixels", " x ".join(map(str, config.input.size))),
        ("encoder weights", "; ".join(weights) or "no encoder in use"),
        ("seeds", ", ".join(map(str, matrix.seeds))),
        ("labelled", ", ".join(matrix.labelled)),
        ("device", ", ".join(devices) or "unknown"),
        ("not judged", matrix.unjudged or "nothing"),
    ]


def _missing(matrix: Matrix) -> Section:
    """Says which runs the tables lack, so that no mean is read as one of all seeds."""
    files = {cell.name: ResultFile.of_run(matrix, cell).path for cell in matrix.cells}
    missing = [name for name, path in files.items() if not path.is_file()]
    if not missing:
        return Section("Unfinished runs", [])
    text = f"{len(missing)} of {len(matrix.cells)} runs are not finished: " + ", ".join(missing)
    return Section("Unfinished runs", [Text(text, warning=True)])


def _gone(matrix: Matrix, runs: list[RunScores], progress: Progress) -> Section:
    """Says which runs the pictures lack because only their results are here."""
    seed = matrix.seeds[0]
    shown = {matrix.cell(row, ratio, seed) for row in matrix.rows for ratio in matrix.labelled}
    folders = (matrix.folder(r.cell) for r in runs if r.cell in shown)
    gone = [folder.name for folder in folders if not (folder / FOUND).is_dir()]
    for row in matrix.rows:
        file = ResultFile.of_stage1(matrix, matrix.cell(row, matrix.labelled[0], seed))
        if file and file.path.is_file() and not (file.folder / STAGE1_MODEL).is_file():
            gone.append(file.folder.name)
    if not gone:
        return Section("Pictures", [])
    text = "Left out of the pictures, as their folders are not here: "
    text += ", ".join(dict.fromkeys(gone))
    progress.message(text, "warning")
    return Section("Pictures", [Text(text, warning=True)])


def _block(table: ResultTable) -> Table:
    return Table(table.head, table.rows, table.caption)


def _figure(path: Path, alt: str, caption: str = "", dark: bool = False) -> Figure:
    return Figure(picture_source(path), alt, caption, dark)


def _curve(matrix: Matrix, runs: list[RunScores]) -> Figure:
    path = matrix.output / "ratio_curve.png"
    ratio_curve(matrix, runs, path)
    return _figure(path, "Mean Dice of every method by labelled ratio", "Mean and SD over seeds")


def _training(matrix: Matrix, runs: list[RunScores]) -> list[Section]:
    path = matrix.output / "curves.png"
    if not training_curves(matrix, runs, path):
        return []
    caption = "Mean over seeds. A line that still climbs at its end was trained too briefly"
    figure = _figure(path, "Mean Dice of the validation cases by epoch, by method", caption)
    return [Section("Training", [figure])]


def _overlays(matrix: Matrix, runs: list[RunScores], ratio: str) -> list[Figure]:
    path = matrix.output / f"overlays_{ratio.rstrip('%')}.png"
    cases = overlays(matrix, runs, ratio, path)
    caption = "The median and the worst case of the last method, with Dice"
    return [_figure(path, f"Labels of every method on {cases}", caption, True)] if cases else []


def _ablation(matrix: Matrix, runs: list[RunScores]) -> list[Section]:
    rows = [row for row in ABLATION if any(r.cell.row == row for r in runs)]
    if len(rows) < len(ABLATION):
        return []
    path = matrix.output / "ablation.png"
    ablation_bars(matrix, runs, rows, matrix.labelled[0], path)
    return [Section("Components", [_figure(path, "Mean Dice by component")])]


def _attention(matrix: Matrix, prompts: Sequence[str] | None) -> list[Section]:
    path = matrix.output / "attention.png"
    rows = attention_picture(matrix, matrix.labelled[0], path, prompts)
    if not rows:
        return []
    caption = "Each panel on one scale from 0 to the method's highest value; outline: Otsu"
    return [Section("Prompt maps", [_figure(path, "Prompt maps by method", caption, True)])]


def _map_table(matrix: Matrix, maps: list[RunScores]) -> ResultTable:
    table = ResultTable(
        "Prompt maps alone on the validation cases (on all held-out ones where none validates), "
        "mDice in %, mean ± SD over seeds",
        ["stage 1 of", *matrix.labelled],
    )
    folders: dict[str, list[RunScores]] = {}
    for run in maps:
        folders.setdefault(matrix.stage1_name(run.cell), []).append(run)
    sharing: dict[str, list[str]] = {}
    for row in filter(matrix.needs_maps, matrix.rows):
        cell = matrix.cell(row, matrix.labelled[0], matrix.seeds[0])
        sharing.setdefault(matrix.stage1_name(cell), []).append(row)
    for name, mine in folders.items():
        cells = [", ".join(sharing[name])]
        for ratio in matrix.labelled:
            found = spread([r for r in mine if r.cell.labelled == ratio], "dice")
            sd = f" ± {100 * found.sd:.1f}" if found and found.sd is not None else ""
            cells.append(f"{100 * found.mean:.1f}{sd}" if found else "")
        table.rows.append(cells)
    return table
