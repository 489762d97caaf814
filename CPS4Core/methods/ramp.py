"""How the weight of what unlabelled slices teach grows."""

from __future__ import annotations

import math


def ramp(step: int, steps: float) -> float:
    """`exp(-5 (1 - t)^2)` with `t = min(step / steps, 1)`: from .0067 up to 1, then 1.

    The warm-up of Laine & Aila, ICLR 2017; no ramp where `steps` is 0.
    """
    if steps <= 0:
        return 1.0
    left = 1 - min(step / steps, 1.0)
    return math.exp(-5 * left * left)
