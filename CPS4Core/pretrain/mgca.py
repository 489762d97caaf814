"""alignment of slices with captions, of patches with words, and of prototypes."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import Config, Stage1Config
from CPS4Core.encoders.class_map import ClassMap, MapForm, full_precision
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.encoders.text import TextEncoder
from CPS4Core.methods.method import Batch
from CPS4Core.methods.options import Weight
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import info_nce, soft_cross_entropy
from CPS4Core.pretrain.contrastive_options import ContrastiveOptions
from CPS4Core.pretrain.objective import Objective, register
from CPS4Core.pretrain.tokens import attention_over, importance, token_contrast
from CPS4Core.schema import LabelSchema

Temperature = Annotated[float, Field(gt=0)]


class MGCAOptions(ContrastiveOptions):
    """MGCA's own."""

    instance_weight: Weight = 1.0
    token_weight: Weight = 1.0
    prototype_weight: Weight = 1.0
    instance_temperature: Temperature = 0.07
    token_temperature: Temperature = 0.1
    prototype_temperature: Temperature = 0.2
    prototypes: Annotated[int, Field(gt=1)] = 64
    sinkhorn_iterations: Annotated[int, Field(gt=0)] = 3
    sinkhorn_epsilon: Temperature = 0.05


@register("mgca", "Wang et al., NeurIPS 2022")
class MGCA(Objective):
    """`L = w1 ITA + w2 CTA + w3 CPA`, weights (1, 1, 1) as the released command line has them.

    ITA: the sum of both directions of InfoNCE between slices and captions, temperature 0.07.
    CTA: each word attends to the patches of its slice and must be nearest to what it gathered
    (temperature 0.1, both directions, weighted by the words' importance), and each patch likewise.
    CPA: slices and captions are assigned to prototypes (Sinkhorn, 3 iterations, epsilon 0.05) and
    each predicts the other's assignment, temperature 0.2; prototypes rest during the first epoch.
    Class map: the cosine of the local embedding of every patch with that of the class name's mean
    word, the space in which CTA aligns.

    Ours: linear heads, those of every row and a second pair, in place of MGCA's two-layer heads;
    `tokens.importance` in place of the [CLS] attention; 64 prototypes instead of 500, for batches
    are small; captions shared by several slices are positives together.
    """

    class_map: ContrastiveMap
    Options = MGCAOptions

    def __init__(
        self, class_map: ClassMap, text: TextEncoder, schema: LabelSchema, options: Stage1Config
    ):
        super().__init__(class_map, text, schema, options)
        width = class_map.project_patches.out_features
        self.project_image = nn.Linear(class_map.vision.width, width)
        self.project_text = nn.Linear(text.width, width)
        self.prototypes = nn.Parameter(torch.randn(self.own.prototypes, width))

    @classmethod
    def form(cls, config: Config) -> MapForm:
        own = cls.read_options(config.stage1)
        return MapForm("contrastive", own.activation, "name-words")  # type: ignore[attr-defined]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        own, captions = self.own, make_captions(batch.labels, self.schema)
        summary, tokens = self.class_map.tokens(batch.images)
        patches = self.class_map.patch_vectors(tokens).flatten(1, 2)
        read = self.text.read(captions.texts, captions.names)
        with full_precision(summary):
            images = F.normalize(self.project_image(summary.float()), dim=-1)
            pooled = read.pooled(self.text.prompt_token).float()
            texts = F.normalize(self.project_text(pooled), dim=-1)
            words, there, _ = read.words()
            words = F.normalize(self.class_map.project_prompts(words), dim=-1)
            found: dict[str, Tensor] = {}
            if own.instance_weight:
                logits = images @ texts.T / own.instance_temperature
                both = info_nce(logits, captions.positives) + info_nce(
                    logits.T, captions.positives.T
                )
                found["instance"] = own.instance_weight * both
            if own.token_weight:
                words, there, texts_of = words[captions.of], there[captions.of], texts[captions.of]
                found["token"] = own.token_weight * self._tokens(
                    (words, there, texts_of), (patches, images)
                )
            if own.prototype_weight:
                found["prototype"] = own.prototype_weight * self._prototypes(
                    images, texts[captions.of]
                )
            return found

    def _tokens(self, text: tuple[Tensor, Tensor, Tensor], image: tuple[Tensor, Tensor]) -> Tensor:
        """CTA: words [B, V, D] and patches [B, N, D] against what each gathers of the others."""
        (words, there, texts), (patches, images) = text, image
        tau = self.own.token_temperature
        seen = F.normalize(attention_over(words, patches, tau) @ patches, dim=-1)
        read = F.normalize(attention_over(patches, words, tau, there) @ words, dim=-1)
        by_word = token_contrast(
            words @ seen.transpose(1, 2) / tau, importance(texts, words, tau, there), there
        )
        by_patch = token_contrast(
            patches @ read.transpose(1, 2) / tau, importance(images, patches, tau)
        )
        return by_word + by_patch

    def _prototypes(self, images: Tensor, texts: Tensor) -> Tensor:
        """CPA: the mean of both swapped predictions."""
        own = self.own
        first_epoch = int(self.steps_done) < self.options.iterations_per_epoch
        centres = F.normalize(self.prototypes.detach() if first_epoch else self.prototypes, dim=-1)
        scores = [vectors @ centres.T for vectors in (images, texts)]
        codes = [sinkhorn(s, own.sinkhorn_epsilon, own.sinkhorn_iterations) for s in scores]
        image, text = (s / own.prototype_temperature for s in scores)
        return (soft_cross_entropy(image, codes[1]) + soft_cross_entropy(text, codes[0])) / 2


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Assignment of B vectors to P prototypes that uses all of them alike: scores [B, P] -> [B, P].

    `exp(scores / epsilon)` with columns and rows brought to equal sums in turn (Cuturi, 2013, as
    in SwAV); rows sum to 1. In logarithms, so that no score overflows.
    """
    logs = scores / epsilon
    for _ in range(iterations):
        logs = logs - logs.logsumexp(dim=0, keepdim=True)
        logs = logs - logs.logsumexp(dim=1, keepdim=True)
    return logs.exp()
