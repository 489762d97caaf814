"""CPS4, stage 2: class prompts improve the mean teacher's pseudo-labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from CPS4Core.config import Share
from CPS4Core.methods.enhanced_label import enhanced_label
from CPS4Core.methods.level_paste import paste_by_level
from CPS4Core.methods.mean_teacher import MeanTeacher
from CPS4Core.methods.method import Batch, cross_entropy, register
from CPS4Core.methods.options import MethodOptions
from CPS4Core.methods.strong_view import strong_view
from CPS4Core.schema import IGNORE_INDEX


@register("cps4", "CPS4, 2026: class-prompt-driven semi-supervised spine segmentation")
class CPS4(MeanTeacher):
    """`L = L_sup + L_text + L_enh`, formulas (5), (6), (7), without a ramp.

    `L_sup = CE(f_s(x_l), y)`; `L_text = CE(f_s(x_u), y_text)`; `L_enh = CE(f_s(x_u), y_enh)` with
    y_enh from the teacher's pseudo-label and the prompt maps (`enhanced_label`). With
    `pseudo_labels: decoded` both were decoded into one order of levels, which is y_enh then (with
    `decoded_outlines: agreed` where the teacher sees the same tissue).
    The options are ours; without them the student sees x_u as the teacher does.
    """

    class Options(MethodOptions):
        strong_view: bool = False
        """The student sees the unlabelled slices with another intensity and blurred."""
        copy_paste: Share = 0.0
        """Side, as a share of the slice's, of a rectangle of a labelled slice in each unlabelled
        one, with its label; the labelled spine is moved so that the levels of both meet."""

    own: Options
    needs_prompt_maps = True

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.text is not None and batch.text_soft is not None
        batch = self.with_agreed_outlines(batch)
        seen, enhanced = self.seen_by_student(batch, self.enhanced(batch))
        labelled, unlabelled = self.student(seen)
        losses = {"supervised": self.supervised(labelled, batch)}
        # A term without weight is not declared, for it would teach nothing.
        if self.options.text_weight:
            assert seen.text is not None
            losses["text"] = self.options.text_weight * cross_entropy(unlabelled, seen.text)
        if self.options.enhanced_weight:
            if seen.decoded is not None:
                loss = self.decoded_loss(unlabelled, seen)
            else:
                loss = cross_entropy(unlabelled, enhanced)
            losses["enhanced"] = self.options.enhanced_weight * loss
        return losses

    def enhanced(self, batch: Batch) -> Tensor:
        """y_enh [U, h, w] of the slices as the teacher sees them; without weight y_text instead."""
        if batch.decoded is not None:
            return batch.decoded
        assert batch.text is not None and batch.text_soft is not None
        if not self.options.enhanced_weight:
            return batch.text
        teacher = self.teacher_logits(batch.unlabelled)
        return enhanced_label(teacher, batch.text, batch.text_soft, self.schema, self.options)

    def seen_by_student(self, batch: Batch, enhanced: Tensor) -> tuple[Batch, Tensor]:
        """The batch and y_enh with what the student's view of the unlabelled slices changes."""
        if self.own.strong_view:
            batch = replace(batch, unlabelled=strong_view(batch.unlabelled))
        if not self.own.copy_paste:
            return batch, enhanced
        labels = batch.labels
        if batch.hidden is not None:  # where a class may hide, the background teaches nothing here
            unsure = (labels == 0) & batch.hidden.any(dim=1)
            labels = labels.masked_fill(unsure, IGNORE_INDEX)
        images, pasted = paste_by_level(
            batch.unlabelled, enhanced, batch.images, labels, self.own.copy_paste
        )
        there = pasted >= 0
        assert batch.text is not None
        text = torch.where(there, pasted, batch.text)
        mixed = torch.where(there, pasted, enhanced)
        changed = replace(batch, unlabelled=images, text=text)
        if batch.level_sure is not None:
            changed = replace(changed, decoded=mixed, level_sure=batch.level_sure | there)
        if batch.decoded_hidden is not None:  # of what was pasted it is known already
            changed = replace(changed, decoded_hidden=batch.decoded_hidden & ~there[:, None])
        return changed, mixed
