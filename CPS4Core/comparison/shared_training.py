"""The training that rows of a comparison share: those that differ only in how they segment."""

from __future__ import annotations

from pathlib import Path

from CPS4Core.comparison.matrix import Cell, Matrix


def training_of(matrix: Matrix, cell: Cell) -> Cell:
    """The run whose training a run takes, often its own: the first row's with the same."""
    return Cell(_first_alike(matrix, cell.row), cell.labelled, cell.seed)


def training_folder(matrix: Matrix, cell: Cell) -> Path:
    """The folder of the training that a run takes."""
    return matrix.folder(training_of(matrix, cell))


def _first_alike(matrix: Matrix, name: str) -> str:
    if matrix.rows[name].outside or matrix.rows[name].method is None:
        return name
    return next(other for other in matrix.rows if _trained(matrix, other) == _trained(matrix, name))


def _trained(matrix: Matrix, name: str) -> tuple[str | None, list[str]]:
    """All of a row on which its training depends."""
    settings = [s for s in matrix.row_settings(name) if not s.strip().startswith("inference.")]
    return matrix.rows[name].labelled, settings
