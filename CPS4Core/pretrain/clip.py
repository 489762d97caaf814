"""whole slices and their captions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import MapForm, full_precision
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.methods.method import Batch
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import info_nce
from CPS4Core.pretrain.contrastive_options import ContrastiveOptions
from CPS4Core.pretrain.objective import Objective, register


@register("clip", "Radford et al., ICML 2021")
class CLIP(Objective):
    """`L = 1/2 [CE(s X Y^T) + CE(s Y X^T)]`, `s = exp(theta)`, theta_0 = ln(1 / 0.07), s <= 100.

    X: the image's summary token behind the projection, as unit vectors; Y: the captions.
    Class map: the cosine of the same projection of every patch with the class prompt.

    Ours: slices with the same caption are positives of it together (`info_nce`); the summary is
    [CLS] of a ViT and the mean patch of `conv-vit`, the caption's vector the configured prompt
    token in place of CLIP's end token; encoders, optimiser and length are those of every row.
    """

    class_map: ContrastiveMap
    Options = ContrastiveOptions

    @classmethod
    def form(cls, config: Config) -> MapForm:
        return MapForm("contrastive", cls.read_options(config.stage1).activation)  # type: ignore[attr-defined]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        captions = make_captions(batch.labels, self.schema)
        summary, _ = self.class_map.tokens(batch.images)
        texts = self.class_map.encode_prompts(self.text, captions.texts, captions.names)
        with full_precision(summary):
            images = F.normalize(self.class_map.project_patches(summary.float()), dim=-1)
            logits = self.class_map.scale * images @ texts.float().T
            return {
                "image-to-text": info_nce(logits, captions.positives) / 2,
                "text-to-image": info_nce(logits.T, captions.positives.T) / 2,
            }

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.class_map.limit_scale()
