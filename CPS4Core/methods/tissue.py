"""Shape apart from level: the classes merged into kinds of tissue, and a loss that asks no more."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.schema import IGNORE_INDEX, LabelSchema


def tissue_groups(schema: LabelSchema) -> list[list[int]]:
    """Class indices by kind of tissue, the background first; kinds without a class are left out."""
    kinds = (schema.indices_of_kind(kind) for kind in ("vertebra", "disc", "other"))
    return [[0], *(members for members in kinds if members)]


def tissue_of_class(groups: list[list[int]], like: Tensor) -> Tensor:
    """Position [K] of each class's group, where `like` [B, K, ...] is."""
    found = torch.zeros(like.shape[1], dtype=torch.long, device=like.device)
    for position, members in enumerate(groups):
        found[members] = position
    return found


def tissue_probabilities(probabilities: Tensor, groups: list[list[int]]) -> Tensor:
    """Class probabilities [B, K, ...] summed within each group: [B, G, ...]."""
    return torch.stack([probabilities[:, members].sum(dim=1) for members in groups], dim=1)


def tissue_log_likelihood(logits: Tensor, labels: Tensor, groups: list[list[int]]) -> Tensor:
    """Log-probability [B, h, w] of each label's kind of tissue; 0 where the label is ignored.

    `log sum_{c in kind(y)} softmax(f(x))_c`, from logits [B, K, h, w] and class indices [B, h, w].
    """
    log_p = logits.float().log_softmax(dim=1)
    merged = torch.stack([log_p[:, members].logsumexp(dim=1) for members in groups], dim=1)
    known = labels != IGNORE_INDEX
    wanted = tissue_of_class(groups, logits)[labels.masked_fill(~known, 0)]
    return merged.gather(1, wanted[:, None])[:, 0] * known
