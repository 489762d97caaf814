"""Mean teacher with hard pseudo-labels: the baseline on which CPS4 builds."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from CPS4Core.config import Stage2Config
from CPS4Core.methods.decoded_loss import decoded_loss
from CPS4Core.methods.method import Batch, Method, cross_entropy, register
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import IGNORE_INDEX, LabelSchema


@register("mean-teacher", "Tarvainen & Valpola, NeurIPS 2017; hard pseudo-labels as in CPS4's loop")
class MeanTeacher(Method):
    """`L = CE(f_s(x_l), y) + CE(f_s(x_u), argmax f_t(x_u))`, no ramp. With a `pseudo_threshold`
    (the paper has none) pixels where the teacher is less sure do not count. With `pseudo_labels:
    decoded` the teacher's labels of whole volumes, levels decoded, stand in place of the argmax.

    Formula (4): `theta_t <- a theta_t + (1 - a) theta_s` with
    `a = min(1 - 1/(g + 1), decay)`, g the steps done; buffers are
    copied. Inference uses the student.
    """

    has_teacher = True

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        labelled, unlabelled = self.student(batch)
        if batch.decoded is not None:
            return {
                "supervised": cross_entropy(labelled, batch.labels, batch.hidden),
                "decoded": self.decoded_loss(unlabelled, batch),
            }
        sureness, pseudo = self.teacher_logits(batch.unlabelled).float().softmax(dim=1).max(dim=1)
        pseudo = pseudo.masked_fill(sureness < self.options.pseudo_threshold, IGNORE_INDEX)
        return {
            "supervised": cross_entropy(labelled, batch.labels, batch.hidden),
            "pseudo": cross_entropy(unlabelled, pseudo),
        }

    def decoded_loss(self, unlabelled: Tensor, batch: Batch) -> Tensor:
        """What the decoded pseudo-labels of the batch teach (`methods/decoded_loss.py`)."""
        assert batch.decoded is not None and batch.level_sure is not None
        return decoded_loss(
            unlabelled, batch.decoded, batch.level_sure, self.schema, self.options.unsure_levels
        )

    def student(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Student logits of the labelled and the unlabelled slices, in one pass."""
        logits = self.network(torch.cat([batch.images, batch.unlabelled]))
        return logits[: len(batch.images)], logits[len(batch.images) :]

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> Tensor:
        """The teacher's view, in the mode that the options name."""
        self.teacher.train(self.options.teacher_mode == "train")
        return self.teacher(images)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        super().after_step(step)
        decay = min(1 - 1 / (step + 1), self.options.ema_decay)
        mine: list[Tensor] = list(self.teacher.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for own, other in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
            own.copy_(other)
