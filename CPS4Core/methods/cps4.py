"""CPS4, stage 2: class prompts improve the mean teacher's pseudo-labels."""

from __future__ import annotations

from torch import Tensor

from CPS4Core.methods.enhanced_label import enhanced_label
from CPS4Core.methods.mean_teacher import MeanTeacher
from CPS4Core.methods.method import Batch, cross_entropy, register


@register("cps4", "CPS4, 2026: class-prompt-driven semi-supervised spine segmentation")
class CPS4(MeanTeacher):
    """`L = L_sup + L_text + L_enh`, formulas (5), (6), (7), without a ramp.

    `L_sup = CE(f_s(x_l), y)`; `L_text = CE(f_s(x_u), y_text)`; `L_enh = CE(f_s(x_u), y_enh)` with
    y_enh from the teacher's pseudo-label and the prompt maps (`enhanced_label`). With
    `pseudo_labels: decoded` both were decoded into one order of levels, which is y_enh then.
    """

    needs_prompt_maps = True

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.text is not None and batch.text_soft is not None
        labelled, unlabelled = self.student(batch)
        losses = {"supervised": self.supervised(labelled, batch)}
        # A term without weight is not declared, for it would teach nothing.
        if self.options.text_weight:
            losses["text"] = self.options.text_weight * cross_entropy(unlabelled, batch.text)
        if self.options.enhanced_weight:
            losses["enhanced"] = self.options.enhanced_weight * self._enhanced(unlabelled, batch)
        return losses

    def _enhanced(self, unlabelled: Tensor, batch: Batch) -> Tensor:
        if batch.decoded is not None:
            return self.decoded_loss(unlabelled, batch)
        assert batch.text is not None and batch.text_soft is not None
        teacher = self.teacher_logits(batch.unlabelled)
        y_enh = enhanced_label(teacher, batch.text, batch.text_soft, self.schema, self.options)
        return cross_entropy(unlabelled, y_enh)
