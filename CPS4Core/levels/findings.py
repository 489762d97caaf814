"""What is uncertain about a decoded order of levels, in sentences."""

from __future__ import annotations

import numpy as np

from CPS4Core.levels.chain import ANCHOR_DISC_ORDER, Link
from CPS4Core.levels.options import DecodingOptions
from CPS4Core.levels.sequence import Evidence, Segment, anchor_seen
from CPS4Core.schema import LabelSchema

UNSURE = 0.5
"""Confidence below which a level's name is called uncertain."""

LEAST_UPPER = 3
"""Vertebrae that must look like their neighbours before the count is doubted: networks that learned
from few scans often name the highest two alike."""

CLEAR_TURNS = 0.3
"""How clearly bone and disc take turns in a column that is surely one: the least of 34 decoded
SPIDER volumes had 0.30, blobs of noise 0.02 to 0.08."""


def taking_turns(segments: list[Segment], chain: list[Link]) -> float:
    """Mean of each named structure's own tissue less the other kind's, -1..1; 0 without any."""
    named = [s for s in segments if chain[s.link].index]
    return float(np.mean([s.evidence - s.rival for s in named])) if named else 0.0


def decoding_warnings(
    evidence: Evidence,
    segments: list[Segment],
    chain: list[Link],
    confidence: list[float],
    difference: int,
    schema: LabelSchema,
    options: DecodingOptions,
) -> list[str]:
    """Sentences about the anchor, levels without evidence, doubled, fused and nameless ones.

    difference: see `count_difference`.
    """
    if not segments:
        return ["No column of vertebrae and discs was found"]
    names = [
        schema.structures[chain[s.link].index - 1].name if chain[s.link].index else ""
        for s in segments
    ]
    warnings = _anchor(evidence, segments, chain, names, schema, options)
    if taking_turns(segments, chain) < CLEAR_TURNS / 2:
        warnings.append("Bone and disc hardly take turns: this may be no spine")
    absent = [
        n
        for n, s in zip(names, segments, strict=True)
        if n and s.evidence < options.absent_below and not _is_fused(s, chain, options)
    ]
    if absent:
        warnings.append(f"Missing, placed by the distance of its neighbours: {', '.join(absent)}")
    fused = [n for n, s in zip(names, segments, strict=True) if n and _is_fused(s, chain, options)]
    if fused:
        warnings.append(f"Merged: no disc was seen at {', '.join(fused)}")
    doubled = [
        n
        for n, s in zip(names, segments, strict=True)
        if n
        and not chain[s.link].is_disc
        and not chain[s.link].is_sacrum
        and _is_split(evidence, s, options)
    ]
    if doubled:
        warnings.append(f"Doubled: found in two parts and taken as one: {', '.join(doubled)}")
    nameless = sum(
        not n and not chain[s.link].is_disc and s.link > _highest_named(chain)
        for n, s in zip(names, segments, strict=True)
    )
    if nameless:
        last = schema.structures[chain[_highest_named(chain)].index - 1].name
        warnings.append(
            f"{nameless} more vertebrae above {last} than the label schema has names for"
        )
    if difference:
        more = "higher" if difference > 0 else "lower"
        warnings.append(
            f"Counted from the sacrum, levels would be {abs(difference)} {more} than they look: "
            "transitional vertebra, or more or fewer lumbar levels than usual"
        )
    warnings += _two_counts(evidence, segments, chain, names, options)
    unsure = [n for n, c in zip(names, confidence, strict=True) if n and c < UNSURE]
    if unsure:
        warnings.append(f"Level uncertain: {', '.join(unsure)}")
    return warnings


def _anchor(
    evidence: Evidence,
    segments: list[Segment],
    chain: list[Link],
    names: list[str],
    schema: LabelSchema,
    options: DecodingOptions,
) -> list[str]:
    anchors = [
        schema.structures[k.index - 1].name
        for k in chain
        if k.index and k.order <= ANCHOR_DISC_ORDER
    ]
    if anchor_seen(segments, chain, options) or not anchors:
        return []
    return [
        f"Level anchor not visible: neither {' nor '.join(anchors)} was found, so all levels may "
        "be shifted"
    ]


def _highest_named(chain: list[Link]) -> int:
    return max(i for i, k in enumerate(chain) if k.index)


def _is_fused(segment: Segment, chain: list[Link], options: DecodingOptions) -> bool:
    return (
        chain[segment.link].is_disc
        and segment.evidence < options.absent_below
        and segment.rival > 0.5
    )


def _is_split(evidence: Evidence, segment: Segment, options: DecodingOptions) -> bool:
    """Whether disc or background lies between two parts of bone."""
    bone = evidence.tissue[1, segment.first : segment.last]
    if len(bone) < 6:
        return False
    below = np.maximum.accumulate(bone)
    above = np.maximum.accumulate(bone[::-1])[::-1]
    valley = np.minimum(below, above) - bone
    return bool(valley.max() > 0.45)


def _two_counts(
    evidence: Evidence,
    segments: list[Segment],
    chain: list[Link],
    names: list[str],
    options: DecodingOptions,
) -> list[str]:
    """A warning where the upper part looks, consistently, like the neighbouring levels.

    With the lower part as named, that is what a sixth lumbar or a missing level looks like.
    """
    links = [i for i, k in enumerate(chain) if k.index and not k.is_disc]
    shifts = []
    for s in segments:
        if s.link not in links or chain[s.link].is_sacrum or s.evidence < options.absent_below:
            continue
        mean = evidence.levels[links, s.first : s.last].mean(axis=1)
        best = int(mean.argmax())
        sure = mean[best] >= 0.5 * mean.sum()
        shifts.append((best - links.index(s.link)) if sure else None)
    for cut in range(1, len(shifts) - 1):
        lower, upper = shifts[:cut], shifts[cut:]
        steps = {v for v in upper if v is not None}
        if (
            len(upper) >= LEAST_UPPER
            and upper.count(None) == 0
            and len(steps) == 1
            and abs(next(iter(steps))) == 1
            and lower.count(0) >= max(1, len(lower) / 2)
            and lower[-1] == 0
        ):
            more = next(iter(steps)) < 0
            return [
                "Counted from below, the upper levels differ by one from how they look: "
                + ("more" if more else "fewer")
                + " lumbar levels than usual, or a level "
                + ("counted twice" if more else "missed")
            ]
    return []
