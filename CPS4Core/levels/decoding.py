"""Levels of a whole volume, decoded together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.levels.chain import Link, level_chain
from CPS4Core.levels.column import find_column
from CPS4Core.levels.counting import count_difference
from CPS4Core.levels.findings import CLEAR_TURNS, decoding_warnings, taking_turns
from CPS4Core.levels.naming import name_voxels
from CPS4Core.levels.options import DecodingOptions
from CPS4Core.levels.profile import column_profile
from CPS4Core.levels.sequence import Segment, anchor_seen, best_sequence, evidence_of
from CPS4Core.schema import LabelSchema

UNANCHORED = 0.5
"""Factor of the confidence where nothing is seen from which levels are counted, or where the count
does not fit what they look like."""


@dataclass(frozen=True)
class DecodedStructure:
    """A structure of the found order, from the lowest upwards.

    confidence: that it has the right name, 0..1, from the margin to the next best order.
    evidence: share of its tissue in the column, 0..1; near 0 where it was only inferred.
    middle: its middle in mm along (slice, row, col) from the first voxel.
    """

    index: int
    name: str
    confidence: float
    margin: float
    evidence: float
    middle: tuple[float, float, float]


@dataclass(frozen=True)
class DecodedLevels:
    """labels: class indices [S, h, w] uint8. warnings: what a person should look at."""

    labels: np.ndarray
    structures: list[DecodedStructure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decode_levels(
    probabilities: np.ndarray,
    spacing: tuple[float, float, float],
    schema: LabelSchema,
    options: DecodingOptions | None = None,
    *,
    extra: np.ndarray | None = None,
    content: tuple[int, int, int, int] | None = None,
) -> DecodedLevels:
    """Name the vertebrae and discs of a volume by the best gap-free order along the column.

    Parameters
    ----------
    probabilities: softmax [S, K, h, w] at the working size, rows superior to inferior, columns
        anterior to posterior, background first.
    spacing: (slice, row, col) of these voxels in mm.
    extra: more evidence for levels [S, K, h, w], 0 or more (prompt maps); None for none.
    content: (top, left, height, width) of the image inside the working slice, where it is padded:
        the column is cut at the image's border, not at the padding's.

    Raises CPS4Error for arrays of another shape than the schema asks for.
    """
    options = options or DecodingOptions()
    if probabilities.ndim != 4 or probabilities.shape[1] != schema.class_count:
        raise CPS4Error(
            f"Probabilities of shape {probabilities.shape} for {schema.class_count} classes",
            cure="Give [slices, classes, rows, columns] with the background first",
        )
    if extra is not None and extra.shape != probabilities.shape:
        raise CPS4Error(f"Extra maps of shape {extra.shape}, not {probabilities.shape}")
    height = probabilities.shape[2]
    rows = (0, height) if content is None else (content[0], content[0] + content[2])
    chain = level_chain(schema)
    others = _without_place(probabilities, chain)
    if not chain:
        return DecodedLevels(others, warnings=["The label schema has no levels to decode"])
    vertebra, disc = (_tissue(probabilities, chain, kind) for kind in (False, True))
    haze = _haze(probabilities, chain)
    column = find_column(
        np.maximum(vertebra - haze[_own(chain, False)].sum(), 0),
        np.maximum(disc - haze[_own(chain, True)].sum(), 0),
        spacing,
        rows,
        options,
    )
    segments: list[Segment] = []
    warnings = ["No column of vertebrae and discs was found"]
    structures: list[DecodedStructure] = []
    if column is not None:
        evidence = evidence_of(
            column_profile(probabilities, extra, column, spacing), chain, haze, options
        )
        segments, _ = best_sequence(evidence, chain, options)
        anchored = anchor_seen(segments, chain, options)
        turns = taking_turns(segments, chain)
        difference = count_difference(evidence, segments, chain, options)
        factor = 1.0 if anchored and not difference else UNANCHORED
        factor *= min(1.0, turns / CLEAR_TURNS)
        confidence = [factor * _certainty(s, chain, options) for s in segments]
        warnings = decoding_warnings(
            evidence, segments, chain, confidence, difference, schema, options
        )
        for s, sure in zip(segments, confidence, strict=True):
            index = chain[s.link].index
            if not index:
                continue
            slice_mm, row_mm, col_mm = column.points[(s.first + s.last - 1) // 2]
            structures.append(
                DecodedStructure(
                    index=index,
                    name=schema.structures[index - 1].name,
                    confidence=round(sure, 4),
                    margin=round(s.margin, 3),
                    evidence=round(s.evidence, 3),
                    middle=(float(slice_mm), float(row_mm), float(col_mm)),
                )
            )
        labels = name_voxels(
            probabilities, others, vertebra, disc, column, segments, chain, spacing, options
        )
    else:
        labels = others
    return DecodedLevels(labels, structures, warnings)


def _tissue(probabilities: np.ndarray, chain: list[Link], is_disc: bool) -> np.ndarray:
    """Sum [S, h, w] float32 of a kind's levels."""
    total = np.zeros((len(probabilities), *probabilities.shape[2:]), np.float32)
    for index in _own(chain, is_disc):
        total += probabilities[:, index]
    return total


def _own(chain: list[Link], is_disc: bool) -> list[int]:
    return sorted({k.index for k in chain if k.index and k.is_disc == is_disc})


def _without_place(probabilities: np.ndarray, chain: list[Link]) -> np.ndarray:
    """Class indices [S, h, w] uint8 of what has no place along the spine; 0 elsewhere."""
    placed = [0, *_own(chain, False), *_own(chain, True)]
    if len(placed) == probabilities.shape[1]:
        return np.zeros((len(probabilities), *probabilities.shape[2:]), np.uint8)
    raw = probabilities.argmax(axis=1).astype(np.uint8)
    return np.where(np.isin(raw, placed), np.uint8(0), raw)


def _haze(probabilities: np.ndarray, chain: list[Link]) -> np.ndarray:
    """Probability [K] of each level that even voxels far from the spine show (unsure networks)."""
    haze = np.zeros(probabilities.shape[1])
    sparse = probabilities[:, :, ::3, ::3]
    for index in _own(chain, False) + _own(chain, True):
        haze[index] = np.percentile(sparse[:, index], 20)
    return haze


def _certainty(segment: Segment, chain: list[Link], options: DecodingOptions) -> float:
    """0..1 from the margin, less where hardly anything of the structure was seen."""
    seen = min(1.0, segment.evidence / 0.5)
    return float((1 - np.exp(-segment.margin / options.certain_margin)) * seen)
