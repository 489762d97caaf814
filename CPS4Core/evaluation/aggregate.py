"""From cases to a summary: means over cases, their spread, and the same for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from CPS4Core.evaluation.case import MISSED, SPURIOUS, CaseScores, Settings
from CPS4Core.schema import LabelSchema


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """{"mean", "sd", "cases"} of the finite values; sd is the sample's (n - 1), NaN below two."""
    finite = np.array([v for v in values if np.isfinite(v)], dtype=float)
    return {
        "mean": float(finite.mean()) if finite.size else float("nan"),
        "sd": float(finite.std(ddof=1)) if finite.size > 1 else float("nan"),
        "cases": int(finite.size),
    }


def summarise(cases: Sequence[CaseScores]) -> dict[str, dict[str, float | int]]:
    """{measure: spread over the cases in which it is defined}."""
    names = list(dict.fromkeys(name for case in cases for name in case.measures))
    return {n: spread([c.measures[n] for c in cases if n in c.measures]) for n in names}


def summarise_classes(
    cases: Sequence[CaseScores], schema: LabelSchema, settings: Settings
) -> dict[str, dict[str, Any]]:
    """{class name: {measure: spread, "missed", "spurious", "identified"}} of the classes met.

    `missed` and `spurious` count cases; `identified` is the share of the cases with the level in
    the truth that name it rightly, None for a structure without a level.
    """
    rows: dict[str, dict[str, Any]] = {}
    for index in range(1, schema.class_count):
        met = [c.classes[index] for c in cases if index in c.classes]
        if not met:
            continue
        levels = [float(m["identified"]) for m in met if m["identified"] is not None]
        rows[schema.class_names[index]] = {
            **{name: spread([m[name] for m in met]) for name in settings.class_measures},
            "missed": sum(m["outcome"] == MISSED for m in met),
            "spurious": sum(m["outcome"] == SPURIOUS for m in met),
            "identified": float(np.mean(levels)) if levels else None,
        }
    return rows
