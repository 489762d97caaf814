"""The soft Dice loss, and its mean with cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from CPS4Core.methods.method import cross_entropy
from CPS4Core.schema import IGNORE_INDEX


def dice_loss(
    probabilities: Tensor,
    target: Tensor,
    counted: Tensor | None = None,
    *,
    each_image: bool = False,
    squared: bool = True,
    smooth: float = 1e-5,
) -> Tensor:
    """`1 - mean_c (2 sum p q + s) / (sum p^2 + sum q^2 + s)`, the background among the classes.

    Probabilities [B, K, h, w]; target [B, h, w] class indices, ignored ones not counted, or
    [B, K, h, w] probabilities. Only `counted` [B, h, w] pixels take part. The sums run over the
    batch, with `each_image` over every image on its own; not `squared`: `sum p + sum q` below.
    """
    p = probabilities.float()
    if target.dim() == 3:
        known = target != IGNORE_INDEX
        counted = known if counted is None else counted & known
        one_hot = F.one_hot(target.masked_fill(~known, 0), p.shape[1])
        target = one_hot.permute(0, 3, 1, 2)
    q = target.to(p.dtype)
    if counted is not None:
        p, q = p * counted[:, None], q * counted[:, None]
    axes = (2, 3) if each_image else (0, 2, 3)
    size = p.square() + q.square() if squared else p + q
    return 1 - ((2 * (p * q).sum(axes) + smooth) / (size.sum(axes) + smooth)).mean()


def labelled_dice(
    logits: Tensor,
    labels: Tensor,
    hidden: Tensor | None = None,
    *,
    each_image: bool = False,
    squared: bool = True,
) -> Tensor:
    """Dice of softmax(logits) [L, K, h, w] against true labels [L, h, w].

    Background in which another class may hide (`Batch.hidden`) does not count.
    """
    counted = None if hidden is None else ~(hidden.any(dim=1) & (labels == 0))
    return dice_loss(
        logits.float().softmax(dim=1), labels, counted, each_image=each_image, squared=squared
    )


def cross_entropy_and_dice(logits: Tensor, labels: Tensor, hidden: Tensor | None = None) -> Tensor:
    """`1/2 (CE + Dice)` of logits [L, K, h, w] against labels [L, h, w]."""
    return (cross_entropy(logits, labels, hidden) + labelled_dice(logits, labels, hidden)) / 2
