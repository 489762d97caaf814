"""Calibrate a model on a study: held-out cases in, calibration.json in the model folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core import __version__
from CPS4Core.calibration.fit import Fitted, Pair, candidates, choose
from CPS4Core.calibration.held_out import held_out_cases
from CPS4Core.calibration.samples import (
    MADE_WEIGHT,
    case_pairs,
    level_pairs,
    phantom_samples,
    study_samples,
)
from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.reliability import reliability
from CPS4Core.files import read_json, write_json
from CPS4Core.inference.calibration import FORMAT_VERSION, calibration_path, describe_curve
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.confidence import CASE_SIGNS, SIGNS
from CPS4Core.inference.fingerprint import model_fingerprint
from CPS4Core.inference.predictor import Predictor
from CPS4Core.model_folder import read_model
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study


def calibrate(
    model: Path,
    study: Path,
    cases: Sequence[str] = ("val", "unlabelled"),
    levels: str = "decoded",
    *,
    cut: bool = True,
    phantoms: int = 4,
    phantom_size: int = 384,
    sibling: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit the confidences of a model to what is right; returns what was written for `levels`.

    Parameters
    ----------
    cases: see `held_out_cases`, which refuses test cases and those trained on with a label.
    levels: raw or decoded; the calibration of the other one in the same file stays.
    cut: whether each case counts again, cut off above the sacrum.
    phantoms: how many join without a visible sacrum, and as many with it; `phantom_size` in pixels.
    sibling: a model of the same configuration that was trained with fewer labels of this study; its
        held-out cases are used in place of the model's own, which may be too few.

    Raises CPS4Error where nothing can be fitted, Cancelled when asked to stop.
    """
    progress = progress or Progress()
    if phantoms < 0:
        raise CPS4Error(f"{phantoms} phantoms cannot be made", cure="Give 0 or more")
    info, opened = read_model(model), Study.open(study)
    asked = info if sibling is None else read_model(sibling)
    chosen = held_out_cases(asked, opened, cases)
    predictor = Predictor(
        asked, make_engine(asked, device, engine, threads, progress), levels, calibrated=False
    )
    samples = study_samples(chosen, opened.schema, predictor, progress, cut=cut)
    samples += phantom_samples(phantoms, seed, predictor, progress, size=phantom_size)
    fitted = {
        name: _described(choose(pairs, candidates(signs)), pairs)
        for name, pairs, signs in (
            ("structure", level_pairs(samples), SIGNS[levels]),
            ("case", case_pairs(samples), CASE_SIGNS[levels]),
        )
    }
    content = {
        "code_version": __version__,
        "study": str(opened.dataset.get("name", "unnamed")),
        "fitted_with": model_fingerprint(asked),
        "cases": [case.id for case in chosen],
        "cut_copies": len(samples) - len(chosen) - 2 * phantoms,
        "phantoms": 2 * phantoms,
        "weight_of_made": MADE_WEIGHT,
        "seed": seed,
        **fitted,
    }
    path, fingerprint = calibration_path(info), model_fingerprint(info)
    before: dict[str, Any] = {}
    if path.is_file():
        try:
            old = read_json(path)
            if old["model"] == fingerprint and old["format_version"] == FORMAT_VERSION:
                before = dict(old["levels"])
        except (CPS4Error, KeyError, TypeError, ValueError):
            progress.message(f"The old calibration cannot be read and is replaced: {path}")
    write_json(
        path,
        {
            "format_version": FORMAT_VERSION,
            "model": fingerprint,
            "levels": before | {levels: content},
        },
    )
    return content


def _described(fitted: Fitted, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The curve, and how it did on cases left out, beside the uncalibrated confidence."""
    right = np.array([p.right for p in pairs])
    uncalibrated = reliability([p.signs["formula"] for p in pairs], right)
    return {
        "curve": describe_curve(fitted.curve),
        "chosen": f"{fitted.name}: lowest log loss, each case predicted by a fit to the others",
        "log_loss": {name: round(value, 4) for name, value in fitted.log_losses.items()},
        "held_out": reliability(fitted.held_out, right).numbers(),
        "uncalibrated": uncalibrated.numbers(),
    }
