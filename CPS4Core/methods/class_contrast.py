"""Contrast between pixels and remembered features of their class (Alonso et al., ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.schema import IGNORE_INDEX


def mlp(width: int) -> nn.Sequential:
    """Linear, batch norm, ReLU, Linear: rows [N, width] -> [N, width]."""
    return nn.Sequential(
        nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
    )


class ClassScores(nn.Module):
    """How much a feature counts for its class: a small network for each class, all in one."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.enter = nn.Linear(width, classes * width)
        self.norm = nn.BatchNorm1d(classes * width)
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, rows: Tensor, classes: Tensor) -> Tensor:
        """Rows [N, width] of these classes [N] -> scores [N] in 0..1."""
        hidden = F.leaky_relu(self.norm(self.enter(rows)), 0.2)
        at = torch.arange(len(rows), device=rows.device)
        own = hidden.view(len(rows), len(self.bias), -1)[at, classes]
        return torch.sigmoid((own * self.weight[classes]).sum(dim=1) + self.bias[classes])


class ClassMemory(nn.Module):
    """At most `size` features of each class; a class that a batch lacks keeps what it had."""

    features: Tensor
    counts: Tensor

    def __init__(self, classes: int, size: int, width: int):
        super().__init__()
        self.register_buffer("features", torch.zeros(classes, size, width))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.long))

    def renew(self, rows: Tensor, classes: Tensor) -> None:
        """Put rows [N, width], at most `size` of each class [N], in place of the earlier ones."""
        for index in classes.unique():
            own = rows[classes == index].to(self.features)
            self.features[index, : len(own)] = own
            self.counts[index] = len(own)

    def knows(self, labels: Tensor) -> Tensor:
        """Whether the class of each label is remembered; no for ignored ones."""
        known = labels != IGNORE_INDEX
        return known & (self.counts[labels.masked_fill(~known, 0)] > 0)

    def of(self, index: int) -> Tensor:
        """The features [M, width] of a class."""
        return self.features[index, : int(self.counts[index])]


def pick_pixels(features: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Features [N, C] and classes [N] of at most `most` random pixels of each class but 0.

    From features [B, C, h, w] and class indices [B, h, w], ignored ones left out.
    """
    flat = labels.flatten()
    order = torch.randperm(len(flat), device=flat.device)
    shuffled = flat[order]
    present = [c for c in flat.unique().tolist() if c not in (0, IGNORE_INDEX)]
    chosen = [order[shuffled == c][:most] for c in present]
    where = torch.cat(chosen) if chosen else order[:0]
    image, row, col = torch.unravel_index(where, labels.shape)
    return features[image, :, row, col], flat[where]


def contrast(queries: Tensor, scores: Tensor, classes: Tensor, memory: ClassMemory) -> Tensor:
    """`1/C sum_c mean_ij [w_i (1 - cos(q_i, m_j))]`, `w_i = M s_i / sum s` within the class."""
    terms = []
    for index in classes.unique().tolist():
        own = classes == index
        weights = own.sum() * scores[own] / scores[own].sum().clamp_min(1e-12)
        cosines = F.normalize(queries[own].float()) @ F.normalize(memory.of(index)).T
        terms.append((weights[:, None] * (1 - cosines)).mean())
    return torch.stack(terms).sum() / len(memory.counts)
