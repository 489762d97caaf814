"""Sources of labels that know different structures: what each one's background may hide."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase

_BEFORE, _BEHIND = 0.15, 3.0  # of the neighbour's depth, how far a hidden structure may reach


def shown_classes(cases: Sequence[CachedCase], class_count: int) -> Tensor:
    """Which classes the cases' labels show, [K] bool."""
    shown = torch.zeros(class_count, dtype=torch.bool)
    for case in cases:
        shown[list(case.classes)] = True
    return shown


def hidden_classes(
    real: Sequence[CachedCase], phantoms: Sequence[CachedCase], class_count: int
) -> tuple[Tensor, Tensor]:
    """Classes that the background may hide, [K] bool: of the real cases, and of the phantoms.

    A class may hide in a source that never shows it while the other one does.
    """
    ours, theirs = (shown_classes(cases, class_count) for cases in (real, phantoms))
    return theirs & ~ours, ours & ~theirs


def hiding_places(labels: Tensor, hidden: Tensor, schema: LabelSchema) -> Tensor:
    """Where each hidden class may lie: labels [B, h, w], hidden [B, K] -> [B, K, h, w] bool.

    Background alone would let a network call everything in real images sacrum, since nothing but
    phantoms tells the two apart. But structures follow each other: a class lies beyond the nearest
    one of the order that the slice labels (the sacrum below L5/S, from its front backwards). In a
    slice without any structure nothing hides.
    """
    places = torch.zeros(
        (len(labels), schema.class_count, *labels.shape[1:]), dtype=torch.bool, device=labels.device
    )
    order = schema.ordered_indices()
    for image in range(len(labels)):
        wanted = [c for c in order if hidden[image, c]]
        if not wanted:
            continue
        seen = set(labels[image].unique().tolist())
        known = [position for position, c in enumerate(order) if c in seen]
        for c in wanted if known else []:
            own = order.index(c)
            above = [p for p in known if p > own]
            neighbour = above[0] if above else known[-1]
            rows, cols = torch.nonzero(labels[image] == order[neighbour], as_tuple=True)
            front, depth = int(cols.min()), int(cols.max() - cols.min()) + 1
            left = max(0, round(front - _BEFORE * depth))
            side = slice(left, round(front + _BEHIND * depth))
            beyond = slice(int(rows.min()), None) if above else slice(0, int(rows.max()) + 1)
            places[image, c, beyond, side] = True
    return places
