"""The report's part on segmented cases: what was found in each, how sure, and its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.report.html import Facts, Figure, Fold, Section, Table, Text, picture_source

LOOKS_FOR = "a segmentation folder (CASE.json with structures, CASE_qc.png)"
COUNTS = {"finished": "segmented in the last run", "skipped": "finished before"}
SUMMARY, QC_ENDING, MAPS_ENDING = "summary.json", "_qc.png", "_maps.png"


@dataclass(frozen=True)
class SegmentedCase:
    """One case as its CASE.json tells it; `problem` says why that cannot be read."""

    case: str
    content: Mapping[str, Any]
    problem: str = ""

    @property
    def structures(self) -> list[Mapping[str, Any]]:
        """The structures found."""
        found = self.content.get("structures")
        return [s for s in found if isinstance(s, dict)] if isinstance(found, list) else []

    @property
    def warnings(self) -> list[str]:
        """What the segmentation warned of."""
        found = self.content.get("warnings")
        return [str(w) for w in found] if isinstance(found, list) else []

    @property
    def least(self) -> tuple[float, str]:
        """(lowest confidence, structure); NaN if there is none."""
        sure = [
            (float(s["confidence"]), str(s.get("name", "")))
            for s in self.structures
            if isinstance(s.get("confidence"), (int, float))
        ]
        return min(sure, default=(math.nan, ""))


def recognises(folder: Path) -> bool:
    """Whether `folder` holds segmented cases."""
    if any(folder.glob("*" + QC_ENDING)):
        return True
    return any("structures" in _content(path) for path in _case_files(folder))


def section(folder: Path, pictures: int) -> Section:
    """A table of the cases, then each case's picture and structures, doubtful cases first."""
    part = Section(f"Segmentation: {folder.resolve().name}")
    cases = _read_cases(folder)
    part.blocks += _summary(folder, len(cases))
    part.blocks += _made_by(cases)
    cases.sort(key=_doubt)
    rows = []
    for case in cases:
        sure, name = case.least
        rows.append(
            (
                case.case,
                len(case.structures),
                case.content.get("confidence"),
                sure,
                name or None,
                case.content.get("seconds"),
                "; ".join([*case.warnings, *([case.problem] if case.problem else [])]) or None,
            )
        )
    head = (
        "case",
        "structures",
        "all levels right",
        "lowest confidence",
        "of",
        "seconds",
        "warnings",
    )
    if rows:
        calibrated = [bool(case.content.get("calibrated")) for case in cases if not case.problem]
        how = "calibrated on held-out cases" if all(calibrated) else "by formula, not calibrated"
        caption = f"Cases with warnings first, then by their lowest confidence; {how}"
        part.blocks.append(Table(head, rows, caption))
    for case in cases[:pictures]:
        part.blocks += _case_blocks(folder, case)
    if len(cases) > pictures:
        part.blocks.append(
            Text(f"{len(cases) - pictures} further cases are in the table without a picture.")
        )
    return part


def _case_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.json") if p.name != SUMMARY)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except CPS4Error:
        return {}
    return content if isinstance(content, dict) else {}


def _read_cases(folder: Path) -> list[SegmentedCase]:
    cases = {}
    for path in _case_files(folder):
        try:
            content = read_json(path, "description of the case")
        except CPS4Error as error:
            cases[path.stem] = SegmentedCase(path.stem, {}, f"{error.cause}.")
            continue
        if isinstance(content, dict) and "structures" in content:
            cases[path.stem] = SegmentedCase(path.stem, content)
    for path in folder.glob("*" + QC_ENDING):
        stem = path.name.removesuffix(QC_ENDING)
        missing = SegmentedCase(stem, {}, f"{stem}.json is missing.")
        cases.setdefault(stem, missing)
    return list(cases.values())


def _doubt(case: SegmentedCase) -> tuple[bool, float, str]:
    sure = case.least[0]
    return (not case.warnings and not case.problem, 2 if math.isnan(sure) else sure, case.case)


def _summary(folder: Path, count: int) -> list[Any]:
    path = folder / SUMMARY
    facts: list[tuple[str, Any]] = [("cases", count)]
    if not path.is_file():
        return [Facts(facts), Text("summary.json is missing.", warning=True)]
    content = _content(path)
    if not content:
        return [Facts(facts), Text("summary.json cannot be read.", warning=True)]
    blocks: list[Any] = []
    for key, value in content.items():
        name = key.replace("_", " ")
        if key in ("failed", "failures") and value:
            pairs = value.items() if isinstance(value, dict) else [_failure(v) for v in value]
            rows = [(str(case), str(text)) for case, text in pairs]
            blocks.append(Text(f"{len(rows)} of the inputs failed.", warning=True))
            blocks.append(Table(("failed case", "why"), rows))
        elif key not in ("cases", "model") and isinstance(value, (int, float, str)):
            facts.append((name, value))
        elif key in ("finished", "skipped") and isinstance(value, (list, dict)):
            facts.append((COUNTS[key], len(value)))
    return [Facts(facts), *blocks]


def _made_by(cases: Sequence[SegmentedCase]) -> list[Any]:
    """What segmented the cases: one line, or one a model where there were several."""
    lines = []
    for case in cases:
        model = case.content.get("model")
        described = model if isinstance(model, dict) else {"model": model} if model else {}
        facts = {**described, "engine": case.content.get("engine")}
        named = [f"{k.replace('_', ' ')}: {v}" for k, v in facts.items() if v is not None]
        if named:
            lines.append(Text("Segmented by " + ", ".join(named) + "."))
    return list(dict.fromkeys(lines))


def _failure(value: Any) -> tuple[Any, Any]:
    if isinstance(value, dict):
        return value.get("case", ""), value.get("error") or value.get("message") or ""
    return value, ""


def _case_blocks(folder: Path, case: SegmentedCase) -> list[Any]:
    blocks: list[Any] = []
    listed = ", ".join(str(s.get("name", "")) for s in case.structures) or "nothing"
    found = f"{case.case}: {listed}."
    pictures = {
        QC_ENDING: f"Three sagittal slices of {case.case}, plain and with labels",
        MAPS_ENDING: f"Prompt maps of {case.case}",
    }
    for ending, text in pictures.items():
        path = folder / (case.case + ending)
        if path.is_file():
            try:
                source = picture_source(path)
            except CPS4Error as error:
                blocks.append(Text(f"{path.name}: {error.cause}.", warning=True))
                continue
            alt = f"{text}. Found: {listed}." if ending == QC_ENDING else text + "."
            caption = found if ending == QC_ENDING else text + "."
            blocks.append(Figure(source, alt, caption, dark=True))
        elif ending == QC_ENDING:
            blocks.append(Text(f"{case.case}: no picture ({path.name} is missing).", warning=True))
    blocks += [Text(f"{case.case}: {text}", warning=True) for text in case.warnings]
    if case.structures:
        head = ("structure", "value", "voxels", "volume, ml", "confidence")
        rows = [
            (
                s.get("name"),
                s.get("value"),
                s.get("voxels"),
                _millilitres(s.get("volume_mm3")),
                s.get("confidence"),
            )
            for s in case.structures
        ]
        blocks.append(Fold(f"Structures of {case.case}", [Table(head, rows)]))
    return blocks


def _millilitres(volume: Any) -> float | None:
    return volume / 1000 if isinstance(volume, (int, float)) else None
