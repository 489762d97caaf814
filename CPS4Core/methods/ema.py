"""The exponential moving average by which a teacher follows its students."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def early_decay(step: int, decay: float) -> float:
    """`min(1 - 1/(g + 1), decay)` after g steps: a young teacher follows quickly."""
    return min(1 - 1 / (step + 1), decay)


@torch.no_grad()
def follow(teacher: nn.Module, students: Sequence[tuple[nn.Module, float]], decay: float) -> None:
    """`theta_t <- a theta_t + (1 - a) sum_k share_k theta_k`; buffers are the first student's.

    Batch statistics are copied and not averaged: those of a batch norm are averages already.
    """
    goal: list[Tensor] | None = None
    for student, share in students:
        part = torch._foreach_mul(list(student.parameters()), share)
        goal = list(part if goal is None else torch._foreach_add(goal, part))
    assert goal is not None
    torch._foreach_lerp_(list(teacher.parameters()), goal, 1 - decay)
    first = students[0][0]
    for own, other in zip(teacher.buffers(), first.buffers(), strict=True):
        own.copy_(other)
