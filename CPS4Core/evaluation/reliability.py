"""Do confidences mean what they say: in bins, against the share that is right and the Dice.

A confidence is reliable if, of the structures that get about .8, about 80 % are right. ECE is the
mean gap between the two over the bins, each weighed by its count (Naeini et al., AAAI 2015; here
in bins of equal width); the Brier score the mean squared difference of confidence and outcome; AUC
the probability that a right structure is surer than a wrong one (ties count half).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Confidences from `low` up to `high`; means are NaN where it is empty."""

    low: float
    high: float
    count: int
    confidence: float
    right: float
    dice: float


@dataclass(frozen=True)
class Reliability:
    """Bins, and numbers over all: NaN without any structure, the AUC also without both outcomes."""

    bins: list[Bin]
    count: int
    confidence: float
    right: float
    ece: float
    brier: float
    auc: float

    def numbers(self) -> dict[str, float | int]:
        """Everything but the bins."""
        return {name: value for name, value in asdict(self).items() if name != "bins"}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, NaN still inside."""
        return asdict(self)


def reliability(
    confidence: Sequence[float] | np.ndarray,
    right: Sequence[bool] | np.ndarray,
    dice: Sequence[float] | np.ndarray | None = None,
    bins: int = BINS,
) -> Reliability:
    """Compare confidences [N] in 0..1 with outcomes [N] and, where given, Dice [N].

    A bin holds low <= confidence < high, the last one 1 too.
    """
    sure, outcome = np.asarray(confidence, float), np.asarray(right, float)
    overlap = np.full(len(sure), np.nan) if dice is None else np.asarray(dice, float)
    # Of the edges as they are written: (0.3 * 10) // 1 would be bin 2 by rounding.
    place = np.clip(np.floor(np.round(sure * bins, 9)).astype(int), 0, bins - 1)
    rows = []
    for number in range(bins):
        here = place == number
        rows.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                count=int(here.sum()),
                confidence=_mean(sure[here]),
                right=_mean(outcome[here]),
                dice=_mean(overlap[here]),
            )
        )
    gaps = [b.count * abs(b.confidence - b.right) for b in rows if b.count]
    return Reliability(
        bins=rows,
        count=len(sure),
        confidence=_mean(sure),
        right=_mean(outcome),
        ece=float(sum(gaps) / len(sure)) if len(sure) else float("nan"),
        brier=_mean((sure - outcome) ** 2),
        auc=_auc(sure, outcome > 0),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _auc(sure: np.ndarray, right: np.ndarray) -> float:
    """By ranks (Mann-Whitney), ties at their mean rank."""
    yes, no = int(right.sum()), int((~right).sum())
    if not yes or not no:
        return float("nan")
    _, place, counts = np.unique(sure, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[right].sum() - yes * (yes + 1) / 2) / (yes * no))
