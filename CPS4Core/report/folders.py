"""Which part of a report a folder gives: what it holds decides, not its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.report import evaluation_part, maps_part, run_part, segmentation_part
from CPS4Core.report.html import Section

PARTS = (run_part, evaluation_part, segmentation_part, maps_part)
DEFAULT_PICTURES = 40


def report_sections(
    folders: Sequence[Path], pictures: int = DEFAULT_PICTURES, progress: Progress | None = None
) -> list[Section]:
    """The sections of all folders in the given order; `pictures` is the most of one section.

    A folder that holds nothing known is looked into one level deep. Raises CPS4Error for a missing
    folder, and for one where nothing is recognised.
    """
    progress = progress or Progress()
    sections: list[Section] = []
    for folder in progress.track(folders, "report"):
        if not folder.is_dir():
            raise CPS4Error("There is no such folder", path=folder)
        found = _sections_of(folder, pictures)
        if not found:
            for inside in sorted(p for p in folder.iterdir() if p.is_dir()):
                found += _sections_of(inside, pictures)
        if not found:
            known = "; ".join(part.LOOKS_FOR for part in PARTS)
            raise CPS4Error(
                "Nothing to report is recognised in this folder",
                path=folder,
                cure=f"Looked for {known}",
            )
        sections += found
    return sections


def _sections_of(folder: Path, pictures: int) -> list[Section]:
    found = [part.section(folder, pictures) for part in PARTS if part.recognises(folder)]
    inside = folder / "maps"  # where cps4 segment --maps puts them
    if found and maps_part.recognises(inside):
        found.append(maps_part.section(inside, pictures))
    return found
