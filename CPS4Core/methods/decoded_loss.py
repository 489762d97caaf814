"""What decoded pseudo-labels teach: the level where it is sure, elsewhere the shape alone."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.methods.method import log_probabilities
from CPS4Core.methods.tissue import tissue_groups, tissue_log_likelihood
from CPS4Core.schema import IGNORE_INDEX, LabelSchema


def decoded_loss(
    logits: Tensor,
    labels: Tensor,
    level_sure: Tensor,
    schema: LabelSchema,
    unsure_levels: str,
    hidden: Tensor | None = None,
) -> Tensor:
    """`-1/N [sum_sure log p_y + sum_unsure log sum_{c in kind(y)} p_c]`, ours.

    Logits [B, K, h, w]; decoded class indices [B, h, w] and whether their level is sure (bool).
    `unsure_levels`: `shape`, or `ignore` to leave the second sum out. N counts the pixels that
    teach; 0 where none does. With `hidden` [B, K, h, w] the background may be any of the classes
    that hide there: the study's labels do not show them, so its decoded order may lack them.
    """
    known = labels != IGNORE_INDEX
    sure = known & level_sure
    named = log_probabilities(logits, hidden).gather(1, labels.masked_fill(~known, 0)[:, None])
    likelihood = torch.where(sure, named[:, 0], 0.0)
    counted = sure
    if unsure_levels == "shape":
        unsure = known & ~level_sure
        shape = tissue_log_likelihood(logits, labels, tissue_groups(schema))
        likelihood = likelihood + torch.where(unsure, shape, 0.0)
        counted = known
    return -likelihood.sum() / counted.sum().clamp_min(1)
