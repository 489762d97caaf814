"""Shape apart from numbering, all of it from one confusion matrix of voxel counts.

Levels are the structures with a place along the spine (`order`): vertebrae, sacrum and discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CPS4Core.evaluation.overlap import mean_over_classes, overlap_of
from CPS4Core.schema import LabelSchema

LEAST_SHARE = 0.1
"""Share of a true structure that its own label must cover before its level counts as found."""


@dataclass(frozen=True)
class LevelShift:
    """Every level moved together; `levels` > 0 renames upwards (what was L5 becomes L4)."""

    levels: int
    dice: float


def identified_levels(
    confusion: np.ndarray, schema: LabelSchema, least_share: float = LEAST_SHARE
) -> dict[int, bool]:
    """Whether each true level carries its own name: {class index: found}, true levels only.

    A level is identified where, among all foreground labels predicted inside the true structure,
    its own covers the most voxels (alone, no draw) and at least `least_share` of the structure.
    Background inside does not compete: how much of the shape is found is the Dice's question.

    Parameters: confusion [K, K] by (true, predicted) class, ignored voxels left out.
    """
    found = {}
    for index in schema.ordered_indices():
        row = confusion[index]
        if row.sum():
            others = np.delete(row, [0, index])
            own = row[index]
            found[index] = bool(
                own >= least_share * row.sum() and own > 0 and own > others.max(initial=0)
            )
    return found


def right_levels(
    confusion: np.ndarray, ignored: np.ndarray, least_share: float = LEAST_SHARE
) -> dict[int, bool | None]:
    """Whether each predicted structure is there and has the right name, by class index.

    It is right where, of all true structures inside it, the one of its own name covers the most
    voxels (alone, no draw) and at least `least_share` of it; where nothing true is, it is wrong.
    None where most of it lies in the ignored region, which says nothing about it.

    Parameters: confusion [K, K] by (true, predicted) class, ignored voxels left out; ignored [K]
    counts those by predicted class.
    """
    right: dict[int, bool | None] = {}
    for index in range(1, len(confusion)):
        column = confusion[:, index]
        if column.sum() + ignored[index] == 0:
            continue
        others = np.delete(column, [0, index])
        own = column[index]
        right[index] = (
            None
            if ignored[index] > column.sum()
            else bool(own >= least_share * column.sum() and own > 0 and own > others.max(initial=0))
        )
    return right


def named_as(confusion: np.ndarray, index: int) -> int:
    """The foreground class predicted most inside a true class; 0 where none is."""
    row = confusion[index].copy()
    row[0] = 0
    return int(row.argmax()) if row.any() else 0


def merged_dice(confusion: np.ndarray, classes: Sequence[int]) -> float:
    """Dice of several classes taken as one (the shape); NaN where neither side has any of them."""
    classes = list(classes)
    both = confusion[np.ix_(classes, classes)].sum()
    sizes = confusion[classes].sum() + confusion[:, classes].sum()
    return float(2 * both / sizes) if sizes else float("nan")


def level_accuracy(confusion: np.ndarray, schema: LabelSchema, kinds: Sequence[str]) -> float:
    """Share of voxels with the right level among those with the right tissue (kind).

    Taken over the levels of all `kinds` together; NaN where no voxel has the right tissue.
    """
    right = same = 0
    for kind in kinds:
        levels = [i for i in schema.indices_of_kind(kind) if i in schema.ordered_indices()]
        block = confusion[np.ix_(levels, levels)]
        right, same = right + np.trace(block), same + block.sum()
    return float(right / same) if same else float("nan")


def best_shift(confusion: np.ndarray, schema: LabelSchema) -> LevelShift:
    """The shift of all predicted levels that gives the highest mean Dice.

    One step moves every vertebra to the next vertebra and every disc to the next disc; what leaves
    the schema becomes background. Structures without a level stay. The shorter of two equals wins.
    """
    order_of = {i: s.order for i, s in enumerate(schema.structures, 1) if s.order is not None}
    at = {(schema.structures[i - 1].kind, order): i for i, order in order_of.items()}
    step = _step(list(at))
    reach = (max(order_of.values()) - min(order_of.values())) // step if order_of else 0
    best = LevelShift(0, mean_over_classes(overlap_of(confusion)["dice"]))
    for levels in sorted(range(-reach, reach + 1), key=abs):
        shifted = confusion.copy()
        moved = list(order_of)
        shifted[:, moved] = 0
        for index, order in order_of.items():
            kind = schema.structures[index - 1].kind
            shifted[:, at.get((kind, order + levels * step), 0)] += confusion[:, index]
        dice = mean_over_classes(overlap_of(shifted)["dice"])
        if dice > best.dice + 1e-12:
            best = LevelShift(levels, dice)
    return best


def _step(places: Sequence[tuple[str, int]]) -> int:
    """How much `order` rises from one structure to the next of its kind."""
    gaps = [
        b - a
        for kind in {k for k, _ in places}
        for orders in [sorted(o for k, o in places if k == kind)]
        for a, b in zip(orders, orders[1:], strict=False)
    ]
    return min(gaps, default=1)
