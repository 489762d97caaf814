"""Validation at the working size: Dice by the metric rule, for networks and prompt maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from CPS4Core.evaluation.overlap import case_overlap, mean_over_classes
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.training.partial_labels import shown_classes


def validate_slices(
    label: Callable[[Tensor], Tensor],
    cases: Sequence[CachedCase],
    schema: LabelSchema,
    device: torch.device,
    hidden: Tensor | None = None,
) -> dict[str, float]:
    """Mean over classes, then cases: `mdice`, and `vertebrae` and `discs` apart.

    `label` takes images [S, 1, h, w] in 0..1 to class indices [S, h, w]. Classes that are `hidden`
    [K] bool in the study's background and that no case shows are background here, since the truth
    cannot judge them. Without a labelled case the result is empty.
    """
    unjudged = np.zeros(schema.class_count, bool)
    if hidden is not None:
        unjudged = hidden.numpy() & ~shown_classes(cases, schema.class_count).numpy()
    kinds = {"mdice": None, "vertebrae": "vertebra", "discs": "disc"}
    scores: dict[str, list[float]] = {name: [] for name in kinds}
    for case in cases:
        if case.labels is None:
            continue
        predicted = label_case(label, case, device)
        predicted[unjudged[predicted]] = 0
        dice = case_overlap(predicted, np.asarray(case.labels), schema.class_count)["dice"]
        for name, kind in kinds.items():
            members = None if kind is None else schema.indices_of_kind(kind)
            scores[name].append(mean_over_classes(dice, members))
    return {
        name: float(np.nanmean(values))
        for name, values in scores.items()
        if values and not np.all(np.isnan(values))
    }


def label_case(
    label: Callable[[Tensor], Tensor], case: CachedCase, device: torch.device, at_once: int = 8
) -> np.ndarray:
    """Class indices [S, h, w] uint8 of a cached case."""
    planes = []
    for start in range(0, len(case.images), at_once):
        part = torch.from_numpy(np.array(case.images[start : start + at_once]))[:, None]
        planes.append(label(part.to(device).float() / 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(planes)
