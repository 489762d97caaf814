"""Tokens of two kinds attend to each other: words to patches and patches to words."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_over(
    queries: Tensor, keys: Tensor, temperature: float, there: Tensor | None = None
) -> Tensor:
    """`softmax_p(q_i . k_p / temperature)`: [B, Q, D] and [B, P, D] -> [B, Q, P].

    `there` [B, P] bool: the keys that exist.
    """
    scores = queries @ keys.transpose(1, 2) / temperature
    if there is not None:
        scores = scores.masked_fill(~there[:, None], -torch.inf)
    return scores.softmax(dim=2)


def importance(
    summary: Tensor, tokens: Tensor, temperature: float, there: Tensor | None = None
) -> Tensor:
    """How much each token counts [B, Q], sum 1: unit summary [B, D], unit tokens [B, Q, D].

    The softmax of the token's cosine with the summary, limited to its 10 % and 90 % quantiles.
    It stands for the [CLS] attention of the last layer, which not every encoder has. No gradient.
    """
    scores = torch.einsum("bd,bqd->bq", summary, tokens).detach() / temperature
    if there is None:
        there = torch.ones_like(scores, dtype=torch.bool)
    weights = scores.masked_fill(~there, -torch.inf).softmax(dim=1)
    known = weights.masked_fill(~there, torch.nan)
    low, high = (known.nanquantile(q, dim=1, keepdim=True) for q in (0.1, 0.9))
    limited = weights.clamp(low, high) * there
    return limited / limited.sum(dim=1, keepdim=True)


def token_contrast(similarities: Tensor, weights: Tensor, there: Tensor | None = None) -> Tensor:
    """Each token against its own counterpart among those of its sample, in both directions.

    `similarities` [B, Q, Q]: token i and the counterpart of token j, over the temperature;
    `weights` [B, Q] of the tokens, sum 1; `there` [B, Q] bool. Mean of directions and samples.
    """
    if there is not None:
        # Absent tokens are no negatives; their own rows stay finite and weigh nothing.
        absent = ~there
        outside = absent[:, None] & ~absent[:, :, None] | absent[:, :, None] & ~absent[:, None]
        similarities = similarities.masked_fill(outside, -torch.inf)
    losses = [
        -matrix.log_softmax(dim=2).diagonal(dim1=1, dim2=2)
        for matrix in (similarities, similarities.transpose(1, 2))
    ]
    return (weights * (losses[0] + losses[1]) / 2).sum(dim=1).mean()
