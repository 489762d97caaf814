"""Base of the methods with a teacher: the students' moving average, which labels images."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from CPS4Core.config import Stage2Config
from CPS4Core.methods.ema import early_decay, follow
from CPS4Core.methods.method import Batch, Method
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


class TeacherMethod(Method):
    """Formula (4): `theta_t <- a theta_t + (1 - a) theta_s` with `a = min(1 - 1/(g + 1), decay)`,
    g the steps done; buffers are copied. `stage2.teacher_mode` says how the teacher looks at a
    batch: by its running statistics (`eval`) or the batch's own (`train`)."""

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def student(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Student logits of the labelled and the unlabelled slices, in one pass."""
        logits = self.network(torch.cat([batch.images, batch.unlabelled]))
        return logits[: len(batch.images)], logits[len(batch.images) :]

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> Tensor:
        """The teacher's view of images [B, 1, h, w]: logits [B, K, h, w]."""
        self.teacher.train(self.options.teacher_mode == "train")
        return self.teacher(images)

    def students(self) -> list[tuple[nn.Module, float]]:
        """Whom the teacher follows, with their shares."""
        return [(self.network, 1.0)]

    def decay(self, step: int) -> float:
        """a of formula (4) after `step` steps."""
        return early_decay(step, self.options.ema_decay)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        follow(self.teacher, self.students(), self.decay(step))
