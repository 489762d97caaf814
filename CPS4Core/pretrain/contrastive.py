"""Contrastive losses that know several positives, for slices that share a caption."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`-1/N sum_i sum_j targets_ij log softmax(logits_i)_j`, both [N, M], rows of targets sum 1."""
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


def info_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """InfoNCE with several positives: the target of a row is uniform over its positives.

    Logits [N, M], positives [N, M] bool; with one positive a row it is the usual cross-entropy.
    """
    targets = positives.float()
    return soft_cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True).clamp_min(1))


def symmetric_info_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """The mean of both directions: of rows among columns and of columns among rows."""
    return (info_nce(logits, positives) + info_nce(logits.T, positives.T)) / 2


def global_to_local(
    locals_: Tensor, globals_: Tensor, temperature: float, there: Tensor | None = None
) -> Tensor:
    """Each local token against its own global one; negatives are the others' local tokens.

    `-log(e^{l_ia m_i} / (e^{l_ia m_i} + sum_{j != i, b} e^{l_jb m_i}))`, products over the
    temperature, mean over the tokens. Unit vectors l [N, L, D], m [N, D]; `there` [N, L] bool:
    which tokens exist. 0 without any negative.
    """
    products = torch.einsum("jbd,id->ijb", locals_, globals_) / temperature
    if there is None:
        there = torch.ones(locals_.shape[:2], dtype=torch.bool, device=locals_.device)
    own = products.diagonal(dim1=0, dim2=1).T
    others = ~torch.eye(len(globals_), dtype=torch.bool, device=globals_.device)
    negative = others[..., None] & there
    rest = products.masked_fill(~negative, -torch.inf).flatten(1).logsumexp(dim=1)
    loss = torch.logaddexp(own, rest[:, None]) - own
    return (loss * there).sum() / there.sum().clamp_min(1)
