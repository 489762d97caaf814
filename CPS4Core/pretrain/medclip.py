"""slices and captions are alike as far as they show the same classes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import MapForm, full_precision
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.methods.method import Batch
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import soft_cross_entropy
from CPS4Core.pretrain.contrastive_options import ContrastiveOptions
from CPS4Core.pretrain.objective import Objective, register


class MedCLIPOptions(ContrastiveOptions):
    """MedCLIP's own."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """Of two sets of classes: the cosine of their multi-hot vectors, or the number they share."""


@register("medclip", "Wang et al., EMNLP 2022")
class MedCLIP(Objective):
    """`L = 1/2 [CE(s X Y^T, softmax(S)) + CE(s Y X^T, softmax(S^T))]`, S = labels of images and
    texts compared, 1 <= s <= 100 and first 1 / 0.07.

    X: the projected summary token of the images; Y: the mean over a caption's tokens of the hidden
    layers 1, 2 and last, projected. Class map: the cosine of the same projection of every patch
    with the class prompt, read like a caption.

    Ours: the labels are the classes that the masks show (a slice without any shows the
    background); the encoder and a projection with a bias are those of every row, in place of
    Swin-T on 224 x 224. The softmax of cosines in 0..1 is nearly flat, as in the original.
    """

    class_map: ContrastiveMap
    Options = MedCLIPOptions

    @classmethod
    def form(cls, config: Config) -> MapForm:
        own = cls.read_options(config.stage1)
        return MapForm("contrastive", own.activation, "layers-mean")  # type: ignore[attr-defined]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        captions = make_captions(batch.labels, self.schema)
        summary, _ = self.class_map.tokens(batch.images)
        texts = self.class_map.encode_prompts(self.text, captions.texts, captions.names)
        with full_precision(summary):
            images = F.normalize(self.class_map.project_patches(summary.float()), dim=-1)
            logits = self.class_map.scale * images @ texts.float().T
            alike = label_similarity(captions.present, captions.classes, self.own.similarity)
            return {
                "image-to-text": soft_cross_entropy(logits, alike.softmax(dim=1)) / 2,
                "text-to-image": soft_cross_entropy(logits.T, alike.T.softmax(dim=1)) / 2,
            }

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.class_map.limit_scale()


def label_similarity(images: Tensor, texts: Tensor, how: str) -> Tensor:
    """Multi-hot classes [B, K] and [U, K] bool -> their similarity [B, U]."""
    first, second = images.float(), texts.float()
    if how == "cosine":
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    return first @ second.T
