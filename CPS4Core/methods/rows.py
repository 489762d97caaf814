"""The rows of a comparison by name (rows.yaml): which objective, which method, what they fix."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import yaml

from CPS4Core.errors import CPS4Error


@dataclass(frozen=True)
class Row:
    """One row. Reading it needs no torch."""

    name: str
    about: str
    """What it does, in a line."""
    method: str | None = None
    """Of stage 2; None for an outside peer."""
    objective: str | None = None
    """Of stage 1; None where stage 1 is the preset's or not used."""
    labelled: str | None = None
    """How many cases it takes with labels, whatever the comparison's ratio is."""
    set: tuple[str, ...] = ()
    """Options that it fixes, as `option=value`."""
    source: str | None = None
    """Where it is not the method's own."""
    outside: str | None = None
    """The command that trains an outside peer."""

    @property
    def overrides(self) -> list[str]:
        """What makes a configuration this row's, for `load_config`."""
        chosen = [f"stage2.method={self.method}"] if self.method else []
        chosen += [f"stage1.objective={self.objective}"] if self.objective else []
        return [*chosen, *self.set]


def rows() -> dict[str, Row]:
    """All rows by name, in the order of the table."""
    text = (resources.files("CPS4Core.methods") / "rows.yaml").read_text(encoding="utf-8")
    found = {}
    for name, content in yaml.safe_load(text).items():
        fixed = tuple(content.pop("set", ()))
        found[name] = Row(name, set=fixed, **content)
    return found


def row(name: str) -> Row:
    """The row of that name; raises CPS4Error that lists the known ones."""
    known = rows()
    if name not in known:
        raise CPS4Error(f"No method '{name}'", cure=f"Known: {', '.join(known)}")
    return known[name]


def trainable_row(name: str, labelled: str) -> Row:
    """The row of that name for a training here with `labelled` cases.

    Raises CPS4Error for an outside peer and for a row that takes another number of labels.
    """
    found = row(name)
    if found.outside:
        raise CPS4Error(f"'{name}' is trained outside CPS4Core", cure=f"Use {found.outside} --help")
    if found.labelled not in (None, labelled):
        raise CPS4Error(
            f"'{name}' takes --labelled {found.labelled}, not {labelled}",
            cure="Leave out --labelled, or choose labelled-only",
        )
    return found
