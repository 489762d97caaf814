"""Bidirectional copy-paste: labelled and unlabelled slices pasted into each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CPS4Core.config import Share
from CPS4Core.methods.dice import cross_entropy_and_dice
from CPS4Core.methods.largest_component import largest_components
from CPS4Core.methods.method import Batch, Cost, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.rectangle import random_rectangle
from CPS4Core.methods.teacher import TeacherMethod
from CPS4Core.schema import IGNORE_INDEX


@dataclass
class Pasted:
    """Slices [B, 1, h, w] half of another; `labels` and `pseudo` [B, h, w], the true labels and the
    teacher's, are each ignored where the slice is the other's. `hidden` as in `Batch`."""

    images: Tensor
    labels: Tensor
    pseudo: Tensor
    hidden: Tensor | None


@register("bcp", "Bai et al., CVPR 2023")
class BCP(TeacherMethod):
    """With a mask M, 1 outside a random rectangle of 2/3 x 2/3 of the slice, one for a batch:

    first, on labelled slices a, b alone, `x = a M + b (1 - M)` and `L = l(x, y_a; M) +
    l(x, y_b; 1 - M)`; then, with unlabelled u, v too, `x_1 = u M + a (1 - M)`, `x_2 = b M + v (1 -
    M)` and `L = l(x_1, y_a; 1 - M) + l(x_2, y_b; M) + w [l(x_1, y_u; M) + l(x_2, y_v; 1 - M)]`.
    `l = 1/2 (CE + Dice)` within its region; y_u, y_v are the teacher's labels, of each class the
    largest connected part of each slice. The teacher begins as the student of the first part's end
    and follows by EMA of fixed decay. Inference uses the student.
    Deviations: the first part lies within the training (`pretrain`, or the warm-up where that is
    longer) and goes on from its last state, not its best; batch statistics are copied to the
    teacher; where labelled and unlabelled slices differ in number the fewer are used repeatedly.
    """

    class Options(MethodOptions):
        pretrain: Share = 0.25
        """Share of the training on labelled slices alone."""
        unlabelled_weight: Weight = 0.5
        rectangle: Share = 2 / 3
        """Of the slice's height and width."""
        largest_component: bool = True

    own: Options
    cost = Cost(forwards=2)

    @property
    def pretrain_steps(self) -> int:
        """Steps of the first part."""
        own = round(self.own.pretrain * self.options.total_steps)
        return max(own, self.options.warmup_steps)

    @property
    def warming_up(self) -> bool:
        return int(self.steps_done) < self.pretrain_steps

    def decay(self, step: int) -> float:
        return 0.0 if step <= self.pretrain_steps else self.options.ema_decay

    def supervised_losses(self, batch: Batch) -> dict[str, Tensor]:
        outer = ~self.rectangle(batch)
        a, b = halves(len(batch.images), (len(batch.images) + 1) // 2)
        logits = self.network(torch.where(outer, batch.images[a], batch.images[b]))
        first = self.region_loss(logits, batch, a, outer)
        return {"supervised": first + self.region_loss(logits, batch, b, ~outer)}

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        pasted = self.pasted(batch)
        logits = self.network(torch.cat([part.images for part in pasted]))
        return self.pasted_losses(logits, pasted)

    def pasted(self, batch: Batch) -> tuple[Pasted, Pasted]:
        """x_1 and x_2 with their labels."""
        outer = ~self.rectangle(batch)
        count = (max(len(batch.images), len(batch.unlabelled)) + 1) // 2
        a, b = halves(len(batch.images), count)
        u, v = halves(len(batch.unlabelled), count)
        pseudo = self.teacher_logits(batch.unlabelled).argmax(dim=1)
        if self.own.largest_component:
            pseudo = largest_components(pseudo)

        def paste(labelled: Tensor, unlabelled: Tensor, of_teacher: Tensor) -> Pasted:
            return Pasted(
                torch.where(of_teacher, batch.unlabelled[unlabelled], batch.images[labelled]),
                batch.labels[labelled].masked_fill(of_teacher, IGNORE_INDEX),
                pseudo[unlabelled].masked_fill(~of_teacher, IGNORE_INDEX),
                None if batch.hidden is None else batch.hidden[labelled],
            )

        return paste(a, u, outer), paste(b, v, ~outer)

    def pasted_losses(self, logits: Tensor, pasted: tuple[Pasted, Pasted]) -> dict[str, Tensor]:
        """The losses of both parts' logits [2 B, K, h, w], x_1 first."""
        both = list(zip(logits.chunk(2), pasted, strict=True))
        true = [cross_entropy_and_dice(one, p.labels, p.hidden) for one, p in both]
        taught = [cross_entropy_and_dice(one, p.pseudo) for one, p in both]
        return {
            "supervised": torch.stack(true).sum(),
            "pseudo": self.own.unlabelled_weight * torch.stack(taught).sum(),
        }

    def region_loss(self, logits: Tensor, batch: Batch, chosen: Tensor, region: Tensor) -> Tensor:
        """`l(x, y; region)` with the labels of the chosen labelled slices."""
        labels = batch.labels[chosen].masked_fill(~region, IGNORE_INDEX)
        hidden = None if batch.hidden is None else batch.hidden[chosen]
        return cross_entropy_and_dice(logits, labels, hidden)

    def rectangle(self, batch: Batch) -> Tensor:
        """`1 - M`, [h, w] bool."""
        size = (batch.images.shape[2], batch.images.shape[3])
        height, width = (int(self.own.rectangle * side) for side in size)
        return random_rectangle(size, height, width).to(batch.images.device)


def halves(count: int, length: int) -> tuple[Tensor, Tensor]:
    """Every second of `count` slices and the others between, each repeated to `length` indices.

    Labelled batches hold real slices first and made-up ones last: so both halves have both.
    """
    order = torch.arange(count)
    first, second = order[0::2], order[1::2] if count > 1 else order
    at = torch.arange(length)
    return first[at % len(first)], second[at % len(second)]
