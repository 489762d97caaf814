"""The files of an evaluation (metrics.json and three CSV tables) and its printed table."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from CPS4Core import __version__
from CPS4Core.evaluation.aggregate import summarise, summarise_classes
from CPS4Core.evaluation.confidences import reliability_of
from CPS4Core.evaluation.distances import IN_PLANE
from CPS4Core.evaluation.folder import Evaluation
from CPS4Core.files import make_folder, write_json, write_text

FORMAT_VERSION = 1

RULE = (
    "Per volume at native resolution, foreground classes only. A class that truth and prediction "
    "lack is left out; one that only one of them has counts 0 in Dice, IoU and NSD and is left out "
    "of HD95 and ASSD. Ignored voxels do not count. Means go over classes, then over cases."
)


def write_results(
    evaluation: Evaluation, output: Path, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write metrics.json, summary.csv, cases.csv and classes.csv; returns the JSON content.

    Where predictions have confidences also reliability.csv (its bins) and reliability.png.

    `extra` joins the settings in metrics.json (such as the split's name). Each file is complete or
    untouched. Raises CPS4Error where `output` cannot be written.
    """
    make_folder(output)
    content = results(evaluation, extra)
    write_text(output / "summary.csv", _csv(_summary_rows(content)))
    write_text(output / "cases.csv", _csv(_case_rows(evaluation)))
    write_text(output / "classes.csv", _csv(_class_rows(evaluation)))
    diagram, bins = output / "reliability.png", output / "reliability.csv"
    if content["reliability"]:
        from CPS4Core.report.reliability_picture import write_reliability_picture

        write_text(bins, _csv(_reliability_rows(content)))
        write_reliability_picture(content["reliability"], diagram)
    else:  # of an evaluation made here before
        diagram.unlink(missing_ok=True)
        bins.unlink(missing_ok=True)
    write_json(output / "metrics.json", content)
    return content


def results(evaluation: Evaluation, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything as JSON-able content; what is undefined is None."""
    return _without_nan(
        {
            "format_version": FORMAT_VERSION,
            "rule": RULE,
            "code": _versions(),
            "settings": evaluation.settings.to_dict() | dict(extra or {}),
            "schema": evaluation.schema.to_dict(),
            "case_count": len(evaluation.scores),
            "failures": dict(sorted(evaluation.failures.items())),
            "left_out": evaluation.left_out,
            "summary": summarise(evaluation.scores),
            "classes": summarise_classes(evaluation.scores, evaluation.schema, evaluation.settings),
            "reliability": {n: r.to_dict() for n, r in reliability_of(evaluation.scores).items()},
            "cases": {
                s.case: {
                    "slices": s.slices,
                    "spacing_mm": s.spacing,
                    "measures": s.measures,
                    "classes": {evaluation.schema.class_names[i]: v for i, v in s.classes.items()},
                }
                for s in evaluation.scores
            },
        }
    )


def text_table(content: Mapping[str, Any]) -> str:
    """The printed summary of `results`: measures by group, levels, then one line a class."""
    summary = content["summary"]
    measures = [
        m for m in summary if m + "_vertebrae" in summary and m + "_without_rare" in summary
    ]
    groups = {"all": "", "vertebrae": "_vertebrae", "discs": "_discs", "no rare": "_without_rare"}
    cases = content["case_count"]
    blocks = [
        [f"mean (SD) of {cases} {'case' if cases == 1 else 'cases'}", *groups],
        *([_label(m), *(_cell(summary[m + g]) for g in groups.values())] for m in measures),
    ]
    text = _aligned(blocks) + "\n\n"
    levels = [
        [_label(name), _cell(summary[name])]
        for name in summary
        if name.startswith(("shape", "level", "every", "dice_best", "per_slice", "missed", "spur"))
    ]
    text += _aligned([["levels, shape and other counts", ""], *levels]) + "\n\n"
    chosen = [m for m in measures if not m.endswith(IN_PLANE)]
    head = ["class", *(_label(m) for m in chosen), "identified", "missed", "spurious", "cases"]
    rows = [
        [
            name,
            *(_number(row[m]["mean"]) for m in chosen),
            _number(row["identified"]),
            str(row["missed"]),
            str(row["spurious"]),
            str(row["dice"]["cases"]),
        ]
        for name, row in content["classes"].items()
    ]
    text += _aligned([head, *rows])
    if content["reliability"]:
        text += "\n\n" + _reliability_table(content["reliability"])
    rare = ", ".join(content["settings"]["rare"])
    return text + (f"\n\n'no rare' leaves out {rare}." if rare else "") + "\n"


def _reliability_table(content: Mapping[str, Any]) -> str:
    head = ["confidence", "count", "mean", "right", "ECE", "Brier", "AUC"]
    rows = [
        [
            {"structures": "of a level's name", "cases": "of all names of a case"}[name],
            str(part["count"]),
            *(_number(part[key]) for key in ("confidence", "right", "ece", "brier", "auc")),
        ]
        for name, part in content.items()
    ]
    return _aligned([head, *rows])


def _reliability_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"of": name, **row} for name, part in content["reliability"].items() for row in part["bins"]
    ]


def _label(measure: str) -> str:
    names = {"dice": "Dice", "iou": "IoU", "hd95": "HD95 mm", "assd": "ASSD mm"}
    base, plane = measure.removesuffix(IN_PLANE), measure.endswith(IN_PLANE)
    if base.startswith("nsd_"):
        base = "NSD " + base.removeprefix("nsd_").replace("mm", " mm")
    base = names.get(base, base.replace("_", " "))
    return base + (" in-plane" if plane else "")


def _cell(values: Mapping[str, float | None]) -> str:
    spread = "" if values["sd"] is None else f" ({_number(values['sd'])})"
    return _number(values["mean"]) + spread


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, the first to the left; a rule below the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _summary_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a measure over all classes, then one a measure and class."""
    rows = [{"measure": m, "class": "", **v} for m, v in content["summary"].items()]
    for name, values in content["classes"].items():
        rows += [
            {"measure": m, "class": name, **v} for m, v in values.items() if isinstance(v, dict)
        ]
    return rows


def _case_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    scored = [
        {
            "case": s.case,
            "slices": s.slices,
            **dict(zip(("slice_mm", "row_mm", "col_mm"), s.spacing, strict=True)),
            **s.measures,
            "error": evaluation.failures.get(s.case, ""),
        }
        for s in evaluation.scores
    ]
    done = {s.case for s in evaluation.scores}
    return scored + [
        {"case": case, "error": text}
        for case, text in sorted(evaluation.failures.items())
        if case not in done
    ]


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {"case": s.case, "class": evaluation.schema.class_names[i], **values}
        for s in evaluation.scores
        for i, values in s.classes.items()
    ]


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Comma-separated text with a head of every key in order of first sight; NaN is left empty."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_without_nan(list(rows)))
    return text.getvalue()


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _versions() -> dict[str, str]:
    found = {"CPS4Core": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "SimpleITK", "monai"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
