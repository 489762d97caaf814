"""The rows of the comparison: a method of stage 2, with which stage 1, and what each changes.

Every row but CPS4's `best` runs plainly: pseudo-labels voxel by voxel as its authors define them,
no phantoms, levels as the network says, so that methods are compared and not our additions.
"""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = ("phantoms.count=0", "stage2.pseudo_labels=voxel", "inference.levels=raw")


@dataclass(frozen=True)
class Row:
    """A row by its name in tables.

    method: of stage 2. objective: of stage 1, None where no prompt maps are used.
    settings: changes of the preset, as `option=value`.
    """

    name: str
    line: str
    source: str
    method: str
    objective: str | None = None
    settings: tuple[str, ...] = PLAIN


_ROWS = (
    Row("labelled-only", "l", "s", "labelled-only"),
    Row("mean-teacher", "l", "s", "mean-teacher"),
    Row("cps4-token", "l", "s", "cps4", "cps4", (*PLAIN, "stage1.pixel_weight=0")),
    Row("cps4", "l", "s", "cps4", "cps4"),
)


def rows() -> dict[str, Row]:
    """Every row by name, in the order of the table."""
    return {row.name: row for row in _ROWS}
