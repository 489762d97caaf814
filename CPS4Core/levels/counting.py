"""Counting alone, beside what the levels look like: where the two differ, a person must decide.

A sixth lumbar, a fourth one, or a transitional vertebra taken for part of the sacrum: the sacrum
says one level, the looks of the vertebrae another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CPS4Core.levels.chain import Link
from CPS4Core.levels.options import DecodingOptions
from CPS4Core.levels.sequence import Evidence, Segment, anchor_seen, best_sequence


def count_difference(
    evidence: Evidence, segments: list[Segment], chain: list[Link], options: DecodingOptions
) -> int:
    """Levels by which counting from a visible anchor names the column higher (> 0) or lower.

    0 where it agrees with `segments`, and where it sees no anchor to count from.
    """
    blind = replace(options, vertebra_weight=0.0, disc_weight=0.0)
    counted, _ = best_sequence(evidence, chain, blind)
    if not anchor_seen(counted, chain, options):
        return 0
    steps = []
    for s in segments:
        middle = (s.first + s.last - 1) // 2
        same = [
            c
            for c in counted
            if c.first <= middle < c.last and chain[c.link].is_disc == chain[s.link].is_disc
        ]
        if same and not chain[s.link].is_disc and not chain[s.link].is_sacrum:
            steps.append((same[0].link - s.link) // 2)
    return int(np.median(steps)) if steps else 0
