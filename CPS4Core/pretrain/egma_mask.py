"""EGMA guided by masks: FILIP, and the class masks in the place of EGMA's gaze heat maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.encoders.class_map import full_precision
from CPS4Core.methods.method import Batch
from CPS4Core.methods.options import Weight
from CPS4Core.pretrain.contrastive_options import ContrastiveOptions
from CPS4Core.pretrain.egma import EGMAWithoutGaze
from CPS4Core.pretrain.objective import register
from CPS4Core.pretrain.targets import Targets, make_targets
from CPS4Core.schema import IGNORE_INDEX


class EGMAMaskOptions(ContrastiveOptions):
    """The mask-guided variant's own."""

    activation: Literal["cosine", "softmax", "sigmoid"] = "sigmoid"
    mask_weight: Weight = 1.0
    text_share: Weight = 0.8
    image_share: Weight = 0.2


@register("egma-mask", "Ma et al., NeurIPS 2024; class masks in place of its gaze are ours")
class EGMAMask(EGMAWithoutGaze):
    """`L = FILIP + mask_weight (0.8 MLCE_T2I + 0.2 MLCE_I2T)`.

    `MLCE = log(1 + sum_{not in O} e^s) + log(1 + sum_{in O} e^-s)`. T2I: for each sentence over the
    patches, O those that its class touches; I2T: for each patch over the sentences, O those whose
    class touches it. s = 0 parts inside and outside, hence the class map `sigmoid(s)`.

    Ours: EGMA marks where a radiologist looked while saying the sentence; here the heat map of a
    class is its mask, so that this row sees the same labels as CPS4, and it must be named
    mask-guided. `stage1.include_background` says whether the background is a sentence, too.
    Patches that are not labelled, and those where a class may hide, do not count.
    """

    Options = EGMAMaskOptions

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        cosines = self.class_map.cosines(batch.images, self.vectors())
        with full_precision(cosines):
            scores = self.class_map.scale * cosines
            found = self.matching(scores.flatten(2), batch)
            labels = batch.labels
            if batch.hidden is not None:
                labels = labels.masked_fill(batch.hidden.any(dim=1), IGNORE_INDEX)
            targets = make_targets(
                labels,
                self.schema.class_count,
                (cosines.shape[2], cosines.shape[3]),
                "any",
                self.options.include_background,
            )
            by_sentence, by_patch = mask_losses(scores, targets)
            own = self.own
            found["mask-by-sentence"] = own.mask_weight * own.text_share * by_sentence
            found["mask-by-patch"] = own.mask_weight * own.image_share * by_patch
        return {name: loss for name, loss in found.items() if not self._left_out(name)}

    def _left_out(self, name: str) -> bool:
        shares = {"mask-by-sentence": self.own.text_share, "mask-by-patch": self.own.image_share}
        return name in shares and not self.own.mask_weight * shares[name]


def mask_losses(scores: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """MLCE_T2I and MLCE_I2T of scores s [B, K, rows, cols] and the masks of the classes."""
    inside = targets.masks.bool()
    counted = targets.valid.bool() & targets.present[..., None, None]
    count = targets.present.sum().clamp_min(1)
    sentences = multi_label_cross_entropy(scores.flatten(2), inside.flatten(2), counted.flatten(2))
    by_sentence = (sentences * targets.present).sum() / count
    patches = multi_label_cross_entropy(
        scores.flatten(2).transpose(1, 2),
        inside.flatten(2).transpose(1, 2),
        counted.flatten(2).transpose(1, 2),
    )
    there = counted.flatten(2).any(dim=1)
    return by_sentence, (patches * there).sum() / there.sum().clamp_min(1)


def multi_label_cross_entropy(scores: Tensor, inside: Tensor, counted: Tensor) -> Tensor:
    """`log(1 + sum_{not in O} e^s) + log(1 + sum_{in O} e^-s)` over the last dimension.

    Scores, `inside` (in O) and `counted` [..., N]; returns [...].
    """
    outside = scores.masked_fill(inside | ~counted, -torch.inf)
    within = (-scores).masked_fill(~inside | ~counted, -torch.inf)
    # A column of zeros is the 1 of the formula.
    return sum(
        (F.pad(part, (1, 0), value=0.0).logsumexp(dim=-1) for part in (outside, within)),
        start=torch.zeros((), device=scores.device),
    )
