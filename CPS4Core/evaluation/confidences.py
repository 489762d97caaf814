"""Confidences beside predictions, in the CASE.json of `cps4 segment`, and how true they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.case import CaseScores
from CPS4Core.evaluation.reliability import Reliability, reliability
from CPS4Core.files import read_json
from CPS4Core.volumes.reading import case_id_of


@dataclass(frozen=True)
class Confidences:
    """structures: by name, 0..1. levels: that all of the case are right, None if not said."""

    structures: dict[str, float] = field(default_factory=dict)
    levels: float | None = None


def read_confidences(prediction: Path) -> Confidences | None:
    """The confidences beside a predicted label map; None where there are none that can be used."""
    path = prediction.with_name(f"{case_id_of(prediction)}.json")
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        structures = {
            str(s["name"]): sure
            for s in content["structures"]
            if (sure := _share(s.get("confidence"))) is not None
        }
        return Confidences(structures, _share(content.get("confidence")))
    except (CPS4Error, KeyError, TypeError, AttributeError):
        return None  # some other program's file


def add_confidences(scores: CaseScores, given: Confidences, names: Sequence[str]) -> None:
    """Put confidences beside the scores of what was predicted. `names` [K] are the class names."""
    for index, values in scores.classes.items():
        if values["right"] is not None:
            values["confidence"] = given.structures.get(names[index])
    if given.levels is not None:
        scores.measures["confidence"] = given.levels


def reliability_of(cases: Sequence[CaseScores]) -> dict[str, Reliability]:
    """How true confidences are: of `structures` (name right) and of `cases` (every name right).

    Without what has no confidence; empty where nothing has one.
    """
    rows = [
        (values["confidence"], values["right"], values["dice"])
        for case in cases
        for values in case.classes.values()
        if values.get("confidence") is not None
    ]
    volumes = [
        (sure, case.measures["every_name_right"] == 1, case.measures["dice"])
        for case in cases
        if (sure := case.measures.get("confidence")) is not None
        and np.isfinite(case.measures["every_name_right"])
    ]
    found = {"structures": rows, "cases": volumes}
    return {
        name: reliability([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
        for name, rows in found.items()
        if rows
    }


def _share(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if good else None
