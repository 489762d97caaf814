"""Mean teacher as it was published: consistency of soft predictions under noise."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.config import Share
from CPS4Core.methods.dice import cross_entropy_and_dice
from CPS4Core.methods.method import Batch, Cost, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.teacher import TeacherMethod


@register("mean-teacher-soft", "Tarvainen & Valpola, NeurIPS 2017; as in the SSL4MIS benchmark")
class MeanTeacherSoft(TeacherMethod):
    """`L = 1/2 (CE + Dice)(f_s(x_l), y) + w(t) mean[(softmax f_s(x_u) - softmax f_t(x_u + n))^2]`.

    n is Gaussian noise, clipped; `w(t)` ramps up to `consistency` over the whole training and is 0
    in its first thirtieth. The teacher follows by formula (4). Inference uses the student.
    Deviations: batch statistics are copied to the teacher, not averaged.
    """

    class Options(MethodOptions):
        consistency: Weight = 0.1
        start: Share = 1 / 30
        """Share of the training before consistency counts."""
        ramp: Share = 1.0
        """Share of the training in which its weight grows."""
        noise: Weight = 0.1
        """Standard deviation on images in 0..1."""
        noise_limit: Weight = 0.2

    own: Options
    cost = Cost(forwards=2)

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        return cross_entropy_and_dice(logits, batch.labels, batch.hidden)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        if int(self.steps_done) < self.own.start * self.options.total_steps:
            return self.supervised_losses(batch)
        labelled, unlabelled = self.student(batch)
        teacher = self.teacher_logits(self.noisy(batch.unlabelled)).float().softmax(dim=1)
        distance = (unlabelled.float().softmax(dim=1) - teacher).square().mean()
        return {
            "supervised": self.supervised(labelled, batch),
            "consistency": self.own.consistency * self.ramp(self.own.ramp) * distance,
        }

    def noisy(self, images: Tensor) -> Tensor:
        """Images with clipped noise."""
        noise = self.own.noise * torch.randn_like(images)
        return images + noise.clamp(-self.own.noise_limit, self.own.noise_limit)
