"""EGMA without its gaze, which is FILIP: every patch and every sentence find their best match."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import MapForm, full_precision
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.methods.method import Batch
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import info_nce
from CPS4Core.pretrain.contrastive_options import ContrastiveOptions
from CPS4Core.pretrain.objective import Objective, register


@register(
    "egma-without-gaze", "Ma et al., NeurIPS 2024, without gaze: FILIP, Yao et al., ICLR 2022"
)
class EGMAWithoutGaze(Objective):
    """`L = 1/2 [CE(I2T) + CE(T2I)]` over `s_kp = e^theta cos(sentence k, patch p)`.

    `I2T_ij = mean_p max_{k in j} s_kp` and `T2I_ij = mean_{k in j} max_p s_kp` of image i and text
    j. Class map: the cosine of patch and sentence itself.

    Ours: the sentences of a slice are the prompts of the classes that it shows, or of the
    background alone, so that all K are encoded once a step; slices with the same sentences are
    positives together. EGMA's gaze term needs a radiologist's gaze, which no spine study has: it is
    left out, as in EGMA's released configuration.
    """

    class_map: ContrastiveMap
    Options = ContrastiveOptions

    @classmethod
    def form(cls, config: Config) -> MapForm:
        return MapForm("contrastive", cls.read_options(config.stage1).activation)  # type: ignore[attr-defined]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        cosines = self.class_map.cosines(batch.images, self.vectors())
        with full_precision(cosines):
            return self.matching(self.class_map.scale * cosines.flatten(2), batch)

    def matching(self, scores: Tensor, batch: Batch) -> dict[str, Tensor]:
        """FILIP's two losses of `s` [B, K, N]."""
        captions = make_captions(batch.labels, self.schema)
        by_patch, by_sentence = best_matches(scores, captions.classes)
        return {
            "image-to-text": info_nce(by_patch, captions.positives) / 2,
            "text-to-image": info_nce(by_sentence.T, captions.positives.T) / 2,
        }

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.class_map.limit_scale()


def best_matches(scores: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
    """I2T and T2I [B, U] of scores [B, K, N] and the sentences of U texts [U, K] bool."""
    best_sentence = torch.stack(
        [
            scores.masked_fill(~own[:, None], -torch.inf).amax(dim=1).mean(dim=1)
            for own in sentences
        ],
        dim=1,
    )
    counted = sentences.float() / sentences.sum(dim=1, keepdim=True)
    return best_sentence, scores.amax(dim=2) @ counted.T
