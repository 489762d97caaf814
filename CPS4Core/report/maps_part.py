"""The report's part on prompt maps of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.report.html import Figure, Fold, Section, Table, Text, picture_source

LOOKS_FOR = "prompt maps (CASE.json with prompts, CASE.png)"


def recognises(folder: Path) -> bool:
    """Whether `folder` holds prompt maps."""
    return bool(_read_cases(folder))


def section(folder: Path, pictures: int) -> Section:
    """Each case's picture with the thresholds of its prompts."""
    part = Section(f"Prompt maps: {folder.resolve().name}")
    cases = _read_cases(folder)
    part.blocks.append(
        Text(
            "Where each prompt finds its structure in the slice with the most of them. All maps of "
            "a picture share one colour scale; the outline is Otsu's threshold of each."
        )
    )
    for case, content in list(cases.items())[:pictures]:
        path = folder / f"{case}.png"
        try:
            if not path.is_file():
                raise CPS4Error(f"no picture ({path.name} is missing)")
            text = f"Prompt maps of {case}, slice {int(content.get('slice_shown') or 0) + 1}."
            part.blocks.append(Figure(picture_source(path), text, text, dark=True))
        except CPS4Error as error:
            part.blocks.append(Text(f"{case}: {error.cause}.", warning=True))
        rows = [
            (p.get("name"), p.get("peak"), *_range(p.get("threshold")))
            for p in content["prompts"]
            if isinstance(p, dict)
        ]
        head = ("prompt", "highest value", "lowest threshold", "highest threshold")
        part.blocks.append(Fold(f"Thresholds of {case}, over its slices", [Table(head, rows)]))
    if len(cases) > pictures:
        part.blocks.append(Text(f"{len(cases) - pictures} further cases are left out."))
    return part


def _range(values: Any) -> tuple[float | None, float | None]:
    if isinstance(values, (int, float)):
        return values, values
    return (min(values), max(values)) if isinstance(values, list) and values else (None, None)


def _read_cases(folder: Path) -> dict[str, dict[str, Any]]:
    cases = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = read_json(path)
        except CPS4Error:
            continue
        if (
            isinstance(content, dict)
            and "case" in content
            and isinstance(content.get("prompts"), list)
        ):
            cases[path.stem] = content
    return cases
