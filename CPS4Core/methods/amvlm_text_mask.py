"""AMVLM's stage 2: the teacher's prediction and the text mask added up."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.methods.method import Batch, Cost, cross_entropy, register
from CPS4Core.methods.teacher import TeacherMethod
from CPS4Core.schema import IGNORE_INDEX


@register("amvlm-text-mask", "Pan et al., IEEE TMI 44(11), 2025")
class TextMask(TeacherMethod):
    """`L = CE(f_s(x_l), y) + CE(f_s(x_u), argmax_c sigmoid(p_T,c + m_c))`.

    p_T: the teacher's probabilities; m: the soft prompt maps, which with `stage1.objective=amvlm`
    and its option `text_mask` are the text masks. Inference uses the student.

    Ours: the released target `sigmoid(p_T + mask)` of one foreground never falls below 0.5 and
    would call everything foreground; among K classes its largest is taken (the sigmoid does not
    change which). Pixels outside the scan teach nothing.
    """

    needs_prompt_maps = True
    cost = Cost(forwards=2)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.text is not None and batch.text_soft is not None
        labelled, unlabelled = self.student(batch)
        target = text_mask_label(self.teacher_logits(batch.unlabelled), batch.text_soft)
        target = target.masked_fill(batch.text == IGNORE_INDEX, IGNORE_INDEX)
        return {
            "supervised": self.supervised(labelled, batch),
            "text-mask": cross_entropy(unlabelled, target),
        }


def text_mask_label(teacher: Tensor, masks: Tensor) -> Tensor:
    """`argmax_c sigmoid(softmax(T)_c + m_c)`: logits and masks [B, K, h, w] -> [B, h, w]."""
    return torch.sigmoid(teacher.float().softmax(dim=1) + masks).argmax(dim=1)
