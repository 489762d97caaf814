"""UCMT: two students and a teacher, and a second update on slices mixed by uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from CPS4Core.config import Positive, Share, Stage2Config
from CPS4Core.methods.dice import labelled_dice
from CPS4Core.methods.method import Batch, Cost, cross_entropy, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.patch_mix import entropy, patch_means, patch_shape, rearranged, sources
from CPS4Core.methods.second_network import second_network
from CPS4Core.methods.strong_view import strong_view
from CPS4Core.methods.teacher import TeacherMethod
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


@dataclass
class Views:
    """What both students look at: `images` [L + U, 1, h, w] for each, the labelled slices first;
    `labels` [L, h, w], `hidden` as in `Batch`, and the teacher's `pseudo` labels [U, h, w]."""

    images: tuple[Tensor, Tensor]
    labels: Tensor
    hidden: Tensor | None
    pseudo: Tensor


@register("ucmt", "Shen et al., IJCAI 2023")
class UCMT(TeacherMethod):
    """Two updates a step, both by `L = sum_k l(s_k(x_l), y) + w(t) [1/2 sum_k l(s_k(u_k), y_T) +
    1/2 (l(s_1, y_2) + l(s_2, y_1))]`, l the Dice loss of each slice, `y_T = argmax T(u)`, y_k the
    other student's argmax, w ramping up to `consistency` in the first fifth of the training.

    First u_1, u_2 are two strong views (`strong_view`) of the unlabelled slices. Then labelled
    slices and u_1 are mixed in patches (UMIX, `patch_mix`): with `U_k = entropy((p_k + p_T) / 2)`
    each slice's two patches least sure in U_1 are overwritten by the two surest in U_2, then the
    other way round, labels and y_T with them. The teacher follows `.99 s_1 + .01 s_2` after both
    updates. Inference uses the teacher.
    Deviations: batch statistics of the first student are copied to the teacher; the second view
    does not build on the first (in the authors' code it does); views differ in brightness,
    contrast and blur alone. Patches change their place, which suits classes that are known by
    their position badly. `cross_entropy` adds that loss, whose weight is 0 in their code.
    """

    class Options(MethodOptions):
        consistency: Weight = 0.1
        ramp: Share = 0.2
        grid: Positive = 16
        """Patches along each side (the largest divisor that it shares with the side)."""
        patches: Positive = 2
        """How many are overwritten each way."""
        second_share: Share = 0.01
        """Of the second student in what the teacher follows."""
        cross_entropy: Weight = 0.0

    own: Options
    cost = Cost(updates=2, forwards=5, backwards=2)

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        self.second = second_network(network)

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        if self.warming_up:
            yield self.supervised_losses(batch)
            return
        views, teacher = self.strong_views(batch)
        logits = self.student_logits(views)
        unsure = [entropy((one.detach().float().softmax(dim=1) + teacher) / 2) for one in logits]
        yield self.view_losses(logits, views)
        mixed = self.mixed(views, unsure)
        losses = self.view_losses(self.student_logits(mixed), mixed)
        yield {f"mixed-{name}": loss for name, loss in losses.items()}

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        views, _ = self.strong_views(batch)
        return self.view_losses(self.student_logits(views), views)

    def supervised_losses(self, batch: Batch) -> dict[str, Tensor]:
        first, second = self.network(batch.images), self.second(batch.images)
        return {"supervised": self.supervised(first, batch) + self.supervised(second, batch)}

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.dice(logits, batch.labels, batch.hidden)

    def strong_views(self, batch: Batch) -> tuple[Views, Tensor]:
        """What the students see, and the teacher's probabilities [L + U, K, h, w]."""
        teacher = self.teacher_logits(torch.cat([batch.images, batch.unlabelled]))
        probabilities = teacher.float().softmax(dim=1)
        first, second = (torch.cat([batch.images, strong_view(batch.unlabelled)]) for _ in range(2))
        pseudo = probabilities[len(batch.images) :].argmax(dim=1)
        return Views((first, second), batch.labels, batch.hidden, pseudo), probabilities

    def student_logits(self, views: Views) -> tuple[Tensor, Tensor]:
        """Each student's logits [L + U, K, h, w] of what it sees."""
        return self.network(views.images[0]), self.second(views.images[1])

    def view_losses(self, logits: tuple[Tensor, Tensor], views: Views) -> dict[str, Tensor]:
        """The terms of L."""
        count = len(views.labels)
        ours, theirs = (one[count:] for one in logits)
        true = [self.dice(one[:count], views.labels, views.hidden) for one in logits]
        taught = [self.dice(one, views.pseudo) for one in (ours, theirs)]
        crossed = [self.dice(ours, theirs.argmax(dim=1)), self.dice(theirs, ours.argmax(dim=1))]
        weight = self.own.consistency * self.ramp(self.own.ramp)
        return {
            "supervised": torch.stack(true).sum(),
            "pseudo": weight * torch.stack(taught).mean(),
            "cross": weight * torch.stack(crossed).mean(),
        }

    def mixed(self, views: Views, unsure: list[Tensor]) -> Views:
        """The first student's view with patches moved, the same for both students."""
        height, width = views.images[0].shape[2:]
        patch, count = patch_shape((height, width), self.own.grid), len(views.labels)
        first, second = (patch_means(one, patch) for one in unsure)
        standing = sources(first, second, self.own.patches)
        images = rearranged(views.images[0], standing, patch)
        hidden = views.hidden
        return Views(
            (images, images),
            rearranged(views.labels[:, None], standing[:count], patch)[:, 0],
            None if hidden is None else rearranged(hidden, standing[:count], patch),
            rearranged(views.pseudo[:, None], standing[count:], patch)[:, 0],
        )

    def dice(self, logits: Tensor, labels: Tensor, hidden: Tensor | None = None) -> Tensor:
        """l: `sum p + sum q` below, each slice by itself; and cross-entropy if it has weight."""
        loss = labelled_dice(logits, labels, hidden, each_image=True, squared=False)
        if self.own.cross_entropy:
            loss = loss + self.own.cross_entropy * cross_entropy(logits, labels, hidden)
        return loss

    def students(self) -> list[tuple[nn.Module, float]]:
        share = self.own.second_share
        return [(self.network, 1 - share), (self.second, share)]

    def inference_network(self) -> ResUNet:
        return self.teacher
