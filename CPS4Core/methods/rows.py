"""The rows of a comparison by name (rows.yaml): which objective, which method, what they fix."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from CPS4Core.errors import CPS4Error


@dataclass(frozen=True)
class Row:
    """One row. Reading it needs no torch."""

    name: str
    about: str = ""
    """What it does, in a line."""
    method: str | None = None
    """Of stage 2; None for an outside peer, and where stage 1 is trained alone."""
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
    plain: tuple[str, ...] = ()
    """Options that a comparison sets before all others, so that every row runs plainly."""

    @property
    def overrides(self) -> list[str]:
        """What makes a configuration this row's, for `load_config`."""
        chosen = [f"stage2.method={self.method}"] if self.method else []
        chosen += [f"stage1.objective={self.objective}"] if self.objective else []
        return [*chosen, *self.set]


def rows(file: Path | None = None) -> dict[str, Row]:
    """The rows of a file of one's own, else all known ones, by name, in the order of the table.

    Raises CPS4Error for a file that is not of the form of rows.yaml.
    """
    source = file or resources.files("CPS4Core.methods") / "rows.yaml"
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
        return _read(content)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
        raise CPS4Error(
            f"These are no rows of a comparison ({error})",
            path=file,
            cure="Write them like CPS4Core/methods/rows.yaml: rows by name, under 'rows'",
        ) from error


def _read(content: Any) -> dict[str, Row]:
    plain = tuple(content.get("plain", ()))
    found = {}
    for name, given in content["rows"].items():
        values = dict(given)
        fixed, is_plain = tuple(values.pop("set", ())), values.pop("plain", True)
        if not all(isinstance(option, str) for option in (*plain, *fixed)):
            raise ValueError(f"an option of '{name}' is not of the form option=value")
        found[str(name)] = Row(str(name), set=fixed, plain=plain if is_plain else (), **values)
    if not found:
        raise ValueError("there is none")
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
