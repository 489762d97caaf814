"""The report's part on an evaluation: the summary, Dice by structure, the cases, worst first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.report.curves import class_chart_svg
from CPS4Core.report.html import Figure, Fold, Section, Table, Text, svg_source
from CPS4Core.report.metrics_table import number, read_rows
from CPS4Core.report.reliability_picture import describe, reliability_svg

LOOKS_FOR = "an evaluation (metrics.json, summary.csv, cases.csv, classes.csv)"
GROUPS = {"all": "", "vertebrae": "_vertebrae", "discs": "_discs", "no rare": "_without_rare"}
TABLES = ("summary.csv", "cases.csv", "classes.csv")
CASE_COLUMNS = (
    "dice",
    "dice_vertebrae",
    "dice_discs",
    "iou",
    "hd95",
    "assd",
    "level_identification",
    "confidence",
    "dice_best_shift",
    "error",
)


def recognises(folder: Path) -> bool:
    """Whether `folder` holds an evaluation."""
    if (folder / "cases.csv").is_file() or (folder / "summary.csv").is_file():
        return True
    content = _metrics(folder)
    return "summary" in content and "classes" in content


def section(folder: Path, pictures: int) -> Section:
    """Tables and the chart of whatever is there; what is missing is named."""
    part = Section(f"Evaluation: {folder.resolve().name}")
    content = _metrics(folder)
    if not content:
        part.blocks.append(Text("metrics.json is missing or damaged.", warning=True))
    tables: dict[str, list[dict[str, str]]] = {}
    for name in TABLES:
        try:
            tables[name] = read_rows(folder / name)
        except CPS4Error:
            tables[name] = []
            part.blocks.append(Text(f"{name} is missing or cannot be read.", warning=True))
    if content.get("rule"):
        part.blocks.append(Text(f"Metric rule: {content['rule']}"))
    part.blocks += _summary(tables["summary.csv"])
    part.blocks += _chart(tables, content)
    part.blocks += _reliability(content)
    part.blocks += _cases(tables["cases.csv"])
    return part


def _metrics(folder: Path) -> dict[str, Any]:
    if not (folder / "metrics.json").is_file():
        return {}
    try:
        content = read_json(folder / "metrics.json")
    except CPS4Error:
        return {}
    return content if isinstance(content, dict) else {}


def _summary(rows: Sequence[Mapping[str, str]]) -> list[Any]:
    """Measures by group of structures, the other measures, and all of it by structure."""
    if not rows:
        return []
    if not {"measure", "mean"} <= rows[0].keys():
        return [_as_it_stands(rows, "summary.csv")]
    overall = {r["measure"]: _spread(r) for r in rows if not r.get("class")}
    grouped = [m for m in overall if all(m + g in overall for g in list(GROUPS.values())[1:3])]
    blocks: list[Any] = []
    if grouped:
        body = [(_spoken(m), *(overall.get(m + g) for g in GROUPS.values())) for m in grouped]
        blocks.append(Table(("measure", *GROUPS), body, "Mean (standard deviation) over the cases"))
    used = {m + g for m in grouped for g in GROUPS.values()}
    others = [(_spoken(m), text) for m, text in overall.items() if m not in used]
    if others:
        blocks.append(Table(("measure", "mean (SD)"), others, "Levels, shape and other measures"))
    by_class: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.get("class"):
            by_class.setdefault(row["class"], {})[row["measure"]] = number(row["mean"])
    if by_class:
        measures = list(dict.fromkeys(m for values in by_class.values() for m in values))
        means = [[n, *(v.get(m) for m in measures)] for n, v in by_class.items()]
        head = ("structure", *map(_spoken, measures))
        blocks.append(Fold("Means by structure", [Table(head, means)]))
    return blocks


def _spread(row: Mapping[str, str]) -> str | None:
    mean, sd = number(row.get("mean")), number(row.get("sd"))
    if math.isnan(mean):
        return None
    return f"{mean:.3f}" + ("" if math.isnan(sd) else f" ({sd:.3f})")


def _chart(tables: Mapping[str, list[dict[str, str]]], content: Mapping[str, Any]) -> list[Any]:
    scores: dict[str, list[float]] = {}
    for row in tables["classes.csv"]:
        scores.setdefault(row.get("class", ""), []).append(number(row.get("dice")))
    means = {
        row["class"]: number(row.get("mean"))
        for row in tables["summary.csv"]
        if row.get("measure") == "dice" and row.get("class")
    }
    if not means:
        for name, values in scores.items():
            finite = [v for v in values if math.isfinite(v)]
            means[name] = float(np.mean(finite)) if finite else math.nan
    structures = content.get("schema", {}).get("structures", [])
    colors = {s["name"]: tuple(s["color"]) for s in structures if s.get("color")}
    places = {s["name"]: s["order"] for s in structures if s.get("order") is not None}
    # From the top of the spine down, as in the pictures.
    means = {n: means[n] for n in sorted(means, key=lambda n: -places.get(n, -1))}
    svg = class_chart_svg(scores, means, colors)
    if svg is None:
        return []
    low = sorted((m, n) for n, m in means.items() if math.isfinite(m))[:3]
    alt = "Mean Dice by structure. Lowest: " + ", ".join(f"{n} {m:.3f}" for m, n in low) + "."
    return [Figure(svg_source(svg), alt, alt)]


def _reliability(content: Mapping[str, Any]) -> list[Any]:
    """The reliability diagram, where the predictions had confidences."""
    found = content.get("reliability")
    if not isinstance(found, dict) or not found:
        return []
    try:
        svg, text = reliability_svg(found), describe(found)
    except (KeyError, TypeError, IndexError):
        return [Text("The reliability in metrics.json cannot be read.", warning=True)]
    return [Figure(svg_source(svg), text, text)]


def _cases(rows: Sequence[Mapping[str, str]]) -> list[Any]:
    """The main columns, worst case first, and all columns folded."""
    if not rows:
        return []
    ordered = sorted(rows, key=lambda r: _worst_first(number(r.get("dice"))))
    known = [c for c in CASE_COLUMNS if c in rows[0]]
    if "case" not in rows[0] or not known:
        return [_as_it_stands(rows, "cases.csv")]
    shown = [c for c in known if any(r.get(c) for r in rows)]
    body = [(r["case"], *(_value(r.get(c)) for c in shown)) for r in ordered]
    table = Table(("case", *map(_spoken, shown)), body, "Cases, worst Dice first")
    return [table, Fold("All columns of the cases", [_as_it_stands(ordered, "cases.csv")])]


def _worst_first(dice: float) -> float:
    return -1.0 if math.isnan(dice) else dice


def _as_it_stands(rows: Sequence[Mapping[str, str]], caption: str) -> Table:
    head = list(rows[0])
    return Table(head, [[_value(row.get(c)) for c in head] for row in rows], caption)


def _value(cell: str | None) -> Any:
    value = number(cell)
    if math.isnan(value):
        return cell or None
    return int(value) if cell and cell.lstrip("-").isdigit() else value


def _spoken(measure: str) -> str:
    base, in_plane = measure.removesuffix("_2d"), measure.endswith("_2d")
    words = {"dice": "Dice", "iou": "IoU", "hd95": "HD95", "assd": "ASSD", "nsd": "NSD"}
    spoken = " ".join(words.get(word, word) for word in base.split("_"))
    return spoken + (" in-plane" if in_plane else "") + (", mm" if base in ("hd95", "assd") else "")
