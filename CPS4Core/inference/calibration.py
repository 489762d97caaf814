"""A model's calibration: from signs to the probability that a level is right.

`calibration.json` in the model folder, written by `cps4 calibrate`; a model without one gives
confidences by formula. Applying it takes numpy alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.inference.confidence import CASE_SIGNS, SIGNS, Signs, case_signs
from CPS4Core.inference.fingerprint import model_fingerprint
from CPS4Core.model_folder import ModelInfo

CALIBRATION = "calibration.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(-(bias + weights . signs))); no weight is negative, so it rises in each sign."""

    signs: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def __call__(self, signs: Mapping[str, float]) -> float:
        """The probability, 0..1."""
        score = self.bias + sum(w * signs[n] for n, w in zip(self.signs, self.weights, strict=True))
        # Both branches keep exp from overflowing.
        return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


@dataclass(frozen=True)
class Isotonic:
    """A rising line through (at, values), level before the first point and after the last."""

    signs: tuple[str]
    at: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, signs: Mapping[str, float]) -> float:
        """The probability, 0..1."""
        return float(np.interp(signs[self.signs[0]], self.at, self.values))


Curve = Logistic | Isotonic
KINDS: dict[str, type[Logistic] | type[Isotonic]] = {"logistic": Logistic, "isotonic": Isotonic}


@dataclass(frozen=True)
class Calibration:
    """Calibrated probabilities for one way of finding levels (`raw` or `decoded`).

    structure: that a level found is there and has the right name. case: that every level found in
    the volume has. fingerprint: changes with the curves.
    """

    structure: Curve
    case: Curve

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of the curves."""
        text = repr((self.structure, self.case))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def level_confidence(
    levels: Mapping[int, Signs], calibration: Calibration | None
) -> tuple[dict[int, float], float]:
    """(confidence by class index, confidence that all levels of the volume are right), 0..1.

    Without a calibration by formula: of a structure its sign `formula`, of the volume the smallest
    of these, which it never exceeds: all are not likelier right than one. Without any level the
    volume's is 0.
    """
    if not levels:
        return {}, 0.0
    if calibration is None:
        by_formula = {i: signs["formula"] for i, signs in levels.items()}
        return by_formula, min(by_formula.values())
    sure = {i: calibration.structure(signs) for i, signs in levels.items()}
    return sure, min(calibration.case(case_signs(levels)), *sure.values())


def read_calibration(info: ModelInfo, levels: str) -> Calibration | None:
    """The calibration of a model for `levels` (raw or decoded); None where it has none.

    Raises CPS4Error for a damaged file and for one that was fitted to another model.
    """
    path = info.folder / CALIBRATION
    if not path.is_file():
        return None
    cure = "Make it again with cps4 calibrate, or delete this file for confidences by formula"
    content = read_json(path, "calibration of the model")
    try:
        if content["format_version"] != FORMAT_VERSION:
            raise CPS4Error(
                f"The calibration has format {content['format_version']}, not {FORMAT_VERSION}",
                path=path,
                cure=cure,
            )
        if content["model"] != model_fingerprint(info):
            raise CPS4Error(
                "The calibration was fitted to another model's confidences", path=path, cure=cure
            )
        fitted = content["levels"].get(levels)
        if fitted is None:
            return None
        return Calibration(
            read_curve(fitted["structure"]["curve"], SIGNS[levels]),
            read_curve(fitted["case"]["curve"], CASE_SIGNS[levels]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CPS4Error(
            f"The calibration lacks or misstates {error}", path=path, cure=cure
        ) from error


def describe_curve(curve: Curve) -> dict[str, Any]:
    """The JSON form of a curve; `read_curve` reads it back."""
    kind = next(name for name, of in KINDS.items() if isinstance(curve, of))
    return {"kind": kind, **asdict(curve)}


def read_curve(content: Mapping[str, Any], known: Sequence[str]) -> Curve:
    """A curve over some of the `known` signs; raises KeyError, TypeError or ValueError."""
    kind = KINDS[content["kind"]]
    signs = tuple(str(name) for name in content["signs"])
    if not set(signs) <= set(known):
        raise ValueError(f"signs {signs}")
    if kind is Logistic:
        weights, bias = _numbers(content["weights"]), float(content["bias"])
        if len(weights) != len(signs) or min(weights, default=0) < 0 or not math.isfinite(bias):
            raise ValueError(f"weights {weights}, bias {bias}")
        return Logistic(signs, weights, bias)
    at, values = _numbers(content["at"]), _numbers(content["values"])
    rises = list(at) == sorted(at) and list(values) == sorted(values)
    if len(signs) != 1 or not at or len(at) != len(values) or not rises:
        raise ValueError(f"points {at}, {values}")
    if values[0] < 0 or values[-1] > 1:
        raise ValueError(f"probabilities {values}")
    return Isotonic((signs[0],), at, values)


def calibration_path(info: ModelInfo) -> Path:
    """Where a model's calibration lies or would lie."""
    return info.folder / CALIBRATION


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    numbers = tuple(float(v) for v in values)
    if not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"numbers {numbers}")
    return numbers
