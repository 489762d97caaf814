"""Sources of labels that know different structures: what each one's background may hide."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from CPS4Core.slices.cache import CachedCase


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
