"""UniMatch: confident labels of the weak view teach two strong views and perturbed features."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Share
from CPS4Core.methods.dice import cross_entropy_and_dice, dice_loss
from CPS4Core.methods.method import Batch, Cost, Method, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.rectangle import random_rectangle
from CPS4Core.methods.strong_view import strong_view
from CPS4Core.schema import IGNORE_INDEX


@register("unimatch", "Yang et al., CVPR 2023")
class UniMatch(Method):
    """`L = 1/2 [L_x + 1/4 (L_s1 + L_s2) + 1/2 L_fp]`.

    `L_x = 1/2 (CE + Dice)(f(x_l), y)`; the others are Dice against argmax f(x_u) of the weak view
    where its probability reaches the confidence. s1, s2: two strong views (`strong_view`, then
    CutMix with probability .5, a rectangle of 2 to 40 % of the area from another slice, label and
    confidence with it); fp: the weak view with every channel of every level dropped with
    probability .5. Inference uses the network.
    Deviations: CutMix takes its rectangle from the next slice of the same batch, not of a second
    one (the authors label that by one more pass in eval mode); images have one channel, so the
    jitter has no hue or saturation; weak views are the training's usual ones, which never flip.
    """

    class Options(MethodOptions):
        confidence: Share = 0.95
        strong_weight: Weight = 0.25
        """Of each strong view."""
        feature_weight: Weight = 0.5
        cutmix: Share = 0.5
        """Probability of CutMix for each slice."""
        dropout: Share = 0.5
        """Of feature channels."""

    own: Options
    cost = Cost(forwards=2)

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        return cross_entropy_and_dice(logits, batch.labels, batch.hidden)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        labelled, weak, dropped = self.weak_views(batch)
        label = confident_label(weak.detach(), self.own.confidence)
        strong, labels = zip(
            *(self.strong_view(batch.unlabelled, label) for _ in "12"), strict=True
        )
        views = self.network(torch.cat(strong)).chunk(2)
        losses = [taught(view, mixed) for view, mixed in zip(views, labels, strict=True)]
        return {
            "supervised": 0.5 * self.supervised(labelled, batch),
            "strong": 0.5 * self.own.strong_weight * torch.stack(losses).sum(),
            "features": 0.5 * self.own.feature_weight * taught(dropped, label),
        }

    def weak_views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the labelled slices, of the unlabelled, and of these with dropped channels."""
        count = len(batch.images)
        levels = self.network.encode(torch.cat([batch.images, batch.unlabelled]))
        perturbed = [
            torch.cat([level, F.dropout2d(level[count:], self.own.dropout)]) for level in levels
        ]
        logits = self.network.head(self.network.decode(perturbed))
        sizes = [count, len(batch.unlabelled), len(batch.unlabelled)]
        labelled, weak, dropped = logits.split(sizes)
        return labelled, weak, dropped

    def strong_view(self, images: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """A strong view of unlabelled slices, and its label [U, h, w]."""
        size = (images.shape[2], images.shape[3])
        boxes = torch.stack([cutmix_box(size, self.own.cutmix) for _ in images]).to(images.device)
        seen = strong_view(images)
        mixed = torch.where(boxes[:, None], seen.roll(1, dims=0), seen)
        return mixed, torch.where(boxes, label.roll(1, dims=0), label)


def confident_label(logits: Tensor, confidence: float) -> Tensor:
    """argmax [U, h, w] of logits [U, K, h, w], ignored where its probability is lower."""
    sureness, label = logits.float().softmax(dim=1).max(dim=1)
    return label.masked_fill(sureness < confidence, IGNORE_INDEX)


def taught(logits: Tensor, label: Tensor) -> Tensor:
    """Dice where the label is not ignored."""
    return dice_loss(logits.float().softmax(dim=1), label)


def cutmix_box(size: tuple[int, int], probability: float) -> Tensor:
    """True in a rectangle of 2 to 40 % of [h, w], its sides 1 : .3 to 1 : 3.3; or nowhere."""
    if torch.rand(()) >= probability:
        return torch.zeros(size, dtype=torch.bool)
    area, ratio = (
        float(low + (high - low) * torch.rand(())) for low, high in ((0.02, 0.4), (0.3, 1 / 0.3))
    )
    height, width = (
        min(side, max(1, int(share * side)))
        for side, share in zip(
            size, (math.sqrt(area * ratio), math.sqrt(area / ratio)), strict=True
        )
    )
    return random_rectangle(size, height, width)
