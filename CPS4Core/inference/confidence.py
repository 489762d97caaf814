"""What speaks for a structure's level being right, and the confidence that follows without data.

Signs of one structure, all of them larger the surer:

formula     the confidence without a calibration: with decoded levels that of the decoding (from
            the margin to the next best order), with raw levels the posterior
case        mean posterior of all levels of the volume: a shifted spine is doubtful as a whole
anchored    1 where the sacrum or its disc is seen, from which levels are counted, else 0
room        how much of the image lies below the middle of the lowest level but the sacrum, 1 for
            ROOM_MM and more: where it ends there, another level may have been taken for the lowest
posterior   mean probability that the network itself gives the structure's name, over its voxels
margin      log(1 + margin to the best order that has another level here)
evidence    mean probability of the structure's tissue in the column
weakest     the smallest margin among the levels that were seen, as log(1 + margin)

The signs from the posterior on come with decoded levels only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.inference.plausibility import ANCHOR_ORDERS, SACRUM_ORDER
from CPS4Core.schema import LabelSchema

if TYPE_CHECKING:
    from CPS4Core.levels import DecodedLevels

Signs = dict[str, float]

ROOM_MM = 60.0
"""Where the sacrum is in view there is about this or more below the disc L5/S, and less below L4/L5
where the image ends above the sacrum. Of 60, 80, 100 and 150 the best on cases left out."""

SEEN = 0.25
"""Evidence from which a structure of a decoded order counts as seen."""

UNSURE = 0.5
"""Calibrated confidence below which a level is called uncertain."""

UNCERTAIN = "Level uncertain: "
"""How such a warning begins, the decoding's too."""

RAW_SIGNS = ("formula", "case", "anchored", "room")
DECODED_SIGNS = (*RAW_SIGNS, "posterior", "margin", "evidence", "weakest")
SIGNS = {"raw": RAW_SIGNS, "decoded": DECODED_SIGNS}
"""Signs of a structure by how its level was found."""

SHARED_SIGNS = ("case", "anchored", "room", "weakest")
CASE_SIGNS = {
    levels: ("formula", *(name for name in SHARED_SIGNS if name in signs))
    for levels, signs in SIGNS.items()
}
"""Signs of a whole volume: what its levels share, and their smallest `formula`."""


def level_signs(
    posterior: Mapping[int, float],
    decoded: DecodedLevels | None,
    schema: LabelSchema,
    room: float,
) -> dict[int, Signs]:
    """Signs by class index of the levels in a label map, structures without a place left out.

    posterior: by class index of what is in the label map. decoded: where the levels come from it.
    room: see `room_below`.
    """
    order = {i: schema.structures[i - 1].order for i in schema.ordered_indices()}
    levels = [i for i in posterior if i in order]
    if not levels:
        return {}
    case = float(np.mean([posterior[i] for i in levels]))
    if decoded is None:
        anchored = float(any(order[i] in ANCHOR_ORDERS for i in levels))
        return {
            i: {
                "formula": posterior[i],
                "case": case,
                "anchored": anchored,
                "room": room,
            }
            for i in levels
        }
    found = {s.index: s for s in decoded.structures if s.index in levels}
    seen = [s for s in found.values() if s.evidence >= SEEN]
    anchored = float(any(order[s.index] in ANCHOR_ORDERS for s in seen))
    weakest = float(np.log1p(min((s.margin for s in seen), default=0.0)))
    return {
        i: {
            "posterior": posterior[i],
            "formula": s.confidence,
            "case": case,
            "anchored": anchored,
            "room": room,
            "margin": float(np.log1p(s.margin)),
            "evidence": s.evidence,
            "weakest": weakest,
        }
        for i, s in found.items()
    }


def case_signs(levels: Mapping[int, Signs]) -> Signs:
    """Signs of a whole volume from those of its levels; empty without any."""
    if not levels:
        return {}
    first = next(iter(levels.values()))
    shared = {name: first[name] for name in SHARED_SIGNS if name in first}
    return {"formula": min(signs["formula"] for signs in levels.values()), **shared}


def calibrated_warnings(
    warnings: Sequence[str],
    levels: Mapping[int, float],
    of_all: float,
    schema: LabelSchema,
) -> list[str]:
    """Warnings with what is doubtful by calibrated confidences, in place of what is by formula.

    levels: confidence by class index; of_all: that all of them are right.
    """
    kept = [text for text in warnings if not text.startswith(UNCERTAIN)]
    if not levels:
        return kept
    unsure = [
        schema.structures[i - 1].name
        for i in schema.ordered_indices()
        if levels.get(i, 1.0) < UNSURE
    ]
    if unsure:
        kept.append(f"{UNCERTAIN}{', '.join(unsure)}")
    elif of_all < UNSURE:
        kept.append(f"{UNCERTAIN}all of them are right with a probability of {of_all:.0%}")
    return kept


def room_below(indices: np.ndarray, row_mm: float, schema: LabelSchema) -> float:
    """The sign `room`, 0..1, of class indices [S, R, C] with rows `row_mm` apart."""
    for index in schema.ordered_indices():
        structure = schema.structures[index - 1]
        if structure.order == SACRUM_ORDER and structure.kind != "disc":
            continue
        rows = np.zeros(indices.shape[1])
        for plane in indices:
            rows += (plane == index).sum(axis=1)
        if rows.any():
            middle = np.searchsorted(np.cumsum(rows), rows.sum() / 2)
            return float(min(1.0, (len(rows) - 1 - middle) * row_mm / ROOM_MM))
    return 0.0


def mean_posterior(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Mean probability of each label over its voxels, by class index.

    Parameters: softmax [S, K, h, w], class indices [S, h, w].
    """
    count = probabilities.shape[1]
    voxels, total = np.zeros(count), np.zeros(count)
    for plane, own in zip(probabilities, labels, strict=True):  # a slice's copy at a time
        inside = own > 0
        given = np.take_along_axis(plane, own[None].astype(np.intp), axis=0)[0][inside]
        voxels += np.bincount(own[inside], minlength=count)
        total += np.bincount(own[inside], given.astype(np.float64), minlength=count)
    return {int(i): float(total[i] / voxels[i]) for i in np.flatnonzero(voxels)}
