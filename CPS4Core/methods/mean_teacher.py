"""Mean teacher with hard pseudo-labels: the baseline on which CPS4 builds."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from CPS4Core.methods.agreed_tissue import agreed_tissue
from CPS4Core.methods.decoded_loss import decoded_loss
from CPS4Core.methods.method import Batch, Cost, cross_entropy, register
from CPS4Core.methods.teacher import TeacherMethod
from CPS4Core.schema import IGNORE_INDEX


@register("mean-teacher", "Tarvainen & Valpola, NeurIPS 2017; hard pseudo-labels as in CPS4's loop")
class MeanTeacher(TeacherMethod):
    """`L = CE(f_s(x_l), y) + CE(f_s(x_u), argmax f_t(x_u))`, no ramp. With a `pseudo_threshold`
    (the paper has none) pixels where the teacher is less sure do not count. With `pseudo_labels:
    decoded` the teacher's labels of whole volumes, levels decoded, stand in place of the argmax
    (with `decoded_outlines: agreed` only where f_t(x_u) sees the same tissue as a structure's).

    The teacher follows by formula (4). Inference uses the student.
    """

    uses_decoded = True
    cost = Cost(forwards=2)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = self.with_agreed_outlines(batch)
        labelled, unlabelled = self.student(batch)
        if batch.decoded is not None:
            return {
                "supervised": self.supervised(labelled, batch),
                "decoded": self.decoded_loss(unlabelled, batch),
            }
        sureness, pseudo = self.teacher_logits(batch.unlabelled).float().softmax(dim=1).max(dim=1)
        pseudo = pseudo.masked_fill(sureness < self.options.pseudo_threshold, IGNORE_INDEX)
        return {
            "supervised": self.supervised(labelled, batch),
            "pseudo": cross_entropy(unlabelled, pseudo),
        }

    def with_agreed_outlines(self, batch: Batch) -> Batch:
        """The batch with its decoded pseudo-labels as far as they are to teach."""
        if batch.decoded is None or self.options.decoded_outlines == "order":
            return batch
        teacher = self.teacher_logits(batch.unlabelled)
        return replace(batch, decoded=agreed_tissue(batch.decoded, teacher, self.schema))

    def decoded_loss(self, unlabelled: Tensor, batch: Batch) -> Tensor:
        """What the decoded pseudo-labels of the batch teach (`methods/decoded_loss.py`)."""
        assert batch.decoded is not None and batch.level_sure is not None
        return decoded_loss(
            unlabelled,
            batch.decoded,
            batch.level_sure,
            self.schema,
            self.options.unsure_levels,
            batch.decoded_hidden,
        )
