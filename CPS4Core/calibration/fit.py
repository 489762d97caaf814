"""Curves from signs to probabilities, fitted, compared and chosen on cases left out.

With a dozen cases a wrong choice is easy, so there are few candidates and all of them rise in each
sign: Platt's logistic curve (Advances in Large Margin Classifiers, 1999, with his smoothed
targets) on one or several signs, and isotonic regression on one. The one with the lowest log loss
wins, each case predicted by a fit to all other cases: the log loss is the proper score that
punishes confident errors, and levels of one case are too alike to be split between fit and test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.calibration import Curve, Isotonic, Logistic
from CPS4Core.inference.confidence import Signs

PENALTY = 1.0
"""Weight of half the squared weights of standardised signs, beside the log loss summed up."""

SAME = 1e-6
"""Spread below which a sign tells nothing apart."""

FEWEST_GROUPS = 3
CLIP = 1e-3
"""Probabilities are at least this far from 0 and 1 in a log loss."""


class Pair(NamedTuple):
    """Signs and whether the level was right; `group` is the case, `weight` how much it counts."""

    group: str
    signs: Signs
    right: bool
    weight: float = 1.0


Fitter = Callable[[Sequence[Pair]], Curve]


@dataclass(frozen=True)
class Fitted:
    """The chosen curve and what it was chosen by.

    name: the chosen candidate's. log_losses: of each candidate on cases left out, and of the
    uncalibrated confidence. held_out: the chosen one's probability of each pair, its case left out.
    """

    curve: Curve
    name: str
    log_losses: dict[str, float]
    held_out: np.ndarray


def fit_logistic(pairs: Sequence[Pair], signs: Sequence[str]) -> Logistic:
    """Platt's curve with weights of 0 or more, on standardised signs with a small penalty."""
    table = np.array([[p.signs[name] for name in signs] for p in pairs], float)
    right, count = np.array([p.right for p in pairs]), np.array([p.weight for p in pairs])
    yes, no = count[right].sum(), count[~right].sum()
    target = np.where(right, (yes + 1) / (yes + 2), 1 / (no + 2))
    middle = np.average(table, axis=0, weights=count)
    spread = np.sqrt(np.average((table - middle) ** 2, axis=0, weights=count))
    scaled = (table - middle) / np.maximum(spread, SAME)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        score = scaled @ x[:-1] + x[-1]
        value = np.logaddexp(0, score) - target * score
        away = count * (expit(score) - target)
        gradient = np.append(scaled.T @ away + PENALTY * x[:-1], away.sum())
        return float(count @ value + PENALTY / 2 * (x[:-1] ** 2).sum()), gradient

    bounds = [(0.0, None)] * len(signs) + [(None, None)]
    found = minimize(loss, np.zeros(len(signs) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = np.where(spread > SAME, found[:-1] / np.maximum(spread, SAME), 0.0)
    bias = float(found[-1] - weights @ middle)
    return Logistic(tuple(signs), tuple(float(w) for w in weights), bias)


def fit_isotonic(pairs: Sequence[Pair], sign: str) -> Isotonic:
    """The rising values of least squares at the sign's values, joined by lines.

    A right and a wrong one are added at either end: with few cases nothing is certain.
    """
    at = np.array([p.signs[sign] for p in pairs], float)
    at = np.concatenate([at, [at.min(), at.max()] * 2])
    right = np.array([*(p.right for p in pairs), 1, 0, 0, 1], float)
    count = np.array([*(p.weight for p in pairs), 1, 1, 1, 1], float)
    points, place = np.unique(at, return_inverse=True)
    total = np.bincount(place, count)
    means = np.bincount(place, count * right) / total
    fitted = np.clip(isotonic_regression(means, weights=total).x, 0, 1)
    # Within a level stretch its ends say it all.
    bends = np.diff(fitted, prepend=-1, append=2) != 0
    kept = bends[:-1] | bends[1:]
    return Isotonic((sign,), tuple(points[kept].tolist()), tuple(fitted[kept].tolist()))


def candidates(signs: Sequence[str]) -> dict[str, Fitter]:
    """What is tried, by name; `signs` are all there are."""
    return {
        "logistic, all signs": lambda pairs: fit_logistic(pairs, signs),
        "logistic, formula": lambda pairs: fit_logistic(pairs, ("formula",)),
        "isotonic, formula": lambda pairs: fit_isotonic(pairs, "formula"),
    }


def choose(pairs: Sequence[Pair], fitters: Mapping[str, Fitter]) -> Fitted:
    """Fit every candidate with each group left out in turn, then the best one to all pairs.

    Raises CPS4Error for pairs of fewer than FEWEST_GROUPS cases.
    """
    groups = np.array([p.group for p in pairs])
    if len(set(groups)) < FEWEST_GROUPS:
        raise CPS4Error(
            f"{len(set(groups))} cases are too few for a calibration",
            cure=f"Give at least {FEWEST_GROUPS} held-out cases in which levels can be found",
        )
    right, count = np.array([p.right for p in pairs]), np.array([p.weight for p in pairs])
    losses = {"uncalibrated": log_loss([p.signs["formula"] for p in pairs], right, count)}
    held_out: dict[str, np.ndarray] = {}
    for name, fit in fitters.items():
        values = np.empty(len(pairs))
        for group in sorted(set(groups)):
            curve = fit([p for p in pairs if p.group != group])
            for place in np.flatnonzero(groups == group).tolist():
                values[place] = curve(pairs[place].signs)
        held_out[name], losses[name] = values, log_loss(values, right, count)
    best = min(fitters, key=lambda name: losses[name])
    return Fitted(fitters[best](pairs), best, losses, held_out[best])


def log_loss(
    probabilities: Sequence[float] | np.ndarray,
    right: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean negative log probability of what was the case."""
    sure = np.clip(np.asarray(probabilities, float), CLIP, 1 - CLIP)
    return float(np.average(-np.log(np.where(right, sure, 1 - sure)), weights=weights))
