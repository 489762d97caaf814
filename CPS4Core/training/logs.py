"""What a stage measures: a CSV file to read anywhere and TensorBoard events."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from CPS4Core.files import write_text

METRICS = "metrics.csv"


class MetricsLog:
    """One row an epoch in `metrics.csv`, the same numbers for TensorBoard.

    A resumed run drops the rows that it will write again.
    """

    def __init__(self, folder: Path, first_epoch: int):
        self.path = folder / METRICS
        self.rows: list[dict[str, Any]] = []
        if first_epoch > 1 and self.path.is_file():
            with open(self.path, newline="", encoding="utf-8") as file:
                self.rows = [r for r in csv.DictReader(file) if int(r["epoch"]) < first_epoch]
        self._board = _tensorboard(folder / "tensorboard", first_epoch)

    def add(self, epoch: int, values: dict[str, float]) -> None:
        """Add an epoch's numbers; the file on disk is always complete."""
        self.rows.append({"epoch": epoch} | {k: f"{v:.6g}" for k, v in values.items()})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush the TensorBoard events."""
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path, first_epoch: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is a convenience; the CSV holds the same numbers
        return None
    return SummaryWriter(str(folder), purge_step=first_epoch)
