"""Reading tables of numbers (CSV) that may have gaps or may have been cut off while written."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from CPS4Core.errors import CPS4Error


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file by column name, as text; a row cut short has empty cells.

    Raises CPS4Error if the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CPS4Error(f"The table cannot be read ({error.strerror})", path=path) from error
    lines = [line for line in text.replace("\0", "").splitlines() if line.strip()]
    reader = csv.DictReader(lines, restkey="", restval="")
    return [{k: v for k, v in row.items() if k} for row in reader]


def number(cell: str | None) -> float:
    """The cell's number; NaN for an empty or broken one."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a training log by name, float arrays over the epochs with NaN for gaps.

    The rows are ordered by `epoch`; of an epoch written twice (a resumed run) the last one counts.
    Rows without an epoch are dropped. Empty without any usable row.
    """
    rows = read_rows(path)
    by_epoch = {
        number(row["epoch"]): row for row in rows if math.isfinite(number(row.get("epoch")))
    }
    ordered = [by_epoch[epoch] for epoch in sorted(by_epoch)]
    names = ordered[0] if ordered else {}
    return {name: np.array([number(row.get(name)) for row in ordered]) for name in names}
