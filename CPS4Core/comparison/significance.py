"""Is a row's difference to the reference more than chance? Paired over cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

import numpy as np

FEWEST = 5
"""With fewer pairs no result of the test could be below .05."""


@dataclass(frozen=True)
class Paired:
    """A row against the reference: mean difference (row - reference), the two-sided p of Wilcoxon's
    signed-rank test over cases, and p after Holm's correction over the rows; None for too few
    cases."""

    difference: float
    p: float | None
    p_holm: float | None
    cases: int


def paired_tests(
    pairs: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]],
) -> dict[str, Paired]:
    """Every row against the reference: (its values, the reference's), on the cases that both have.

    The values are means over seeds, one a case: seeds of one case are no independent samples.
    """
    from scipy.stats import wilcoxon

    found: dict[str, Paired] = {}
    for name, (values, reference) in pairs.items():
        cases = [c for c in reference if c in values]
        gaps = np.array([values[c] - reference[c] for c in cases])
        p = None
        if len(cases) >= FEWEST:
            p = 1.0 if not gaps.any() else float(wilcoxon(gaps).pvalue)
        found[name] = Paired(mean(gaps.tolist()) if cases else float("nan"), p, None, len(cases))
    corrected = holm({name: test.p for name, test in found.items() if test.p is not None})
    return {
        name: Paired(test.difference, test.p, corrected.get(name), test.cases)
        for name, test in found.items()
    }


def smallest_p(cases: int) -> float:
    """The smallest two-sided p that so many pairs can give: all differ in one direction."""
    return 2.0 ** (1 - cases)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction: the i-th smallest of m is multiplied by m - i + 1, and none may
    fall below one before it (Scand. J. Statist. 6:65-70, 1979)."""
    corrected: dict[str, float] = {}
    largest = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for place, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - place) * p_values[name]))
        corrected[name] = largest
    return corrected
