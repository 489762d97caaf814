"""The warm-up that rows of a comparison share: those whose training is the same until its end."""

from __future__ import annotations

from pathlib import Path

from CPS4Core.comparison.matrix import Cell, Matrix, digest
from CPS4Core.methods.method import method_class
from CPS4Core.training.warmup import PARTS, STAGE2

WARMED_UP = "warmed_up.json"
"""In a warm-up's folder once it is finished: what it cost."""


def warmup_folder(matrix: Matrix, cell: Cell) -> Path | None:
    """The folder of the warm-up that a training shares, None where it has one of its own."""
    row, config = matrix.rows[cell.row], matrix.config(cell.row)
    if row.outside or row.method is None or not config.stage2.warmup_epochs:
        return None
    unlabelled = matrix.selection(cell.labelled, cell.seed).unlabelled
    if not unlabelled or not method_class(row.method).warms_up_plainly():
        return None
    parts = {**dict.fromkeys(PARTS, True), "stage2": set(STAGE2)}
    return matrix.run_folder(f"warmup-{digest(config, parts)}", cell)


def warmup_settings(matrix: Matrix, row: str) -> list[str]:
    """A row's settings as far as its warm-up depends on them."""
    parts = tuple(f"{part}." for part in PARTS)
    names = {f"stage2.{name}" for name in STAGE2}
    return [
        s
        for s in matrix.row_settings(row)
        if s.strip().startswith(parts) or s.partition("=")[0].strip() in names
    ]
