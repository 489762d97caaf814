"""tokens as Gaussians, so that what is uncertain aligns less strictly."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import MapForm, full_precision
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.methods.method import Batch, Cost
from CPS4Core.methods.options import Weight
from CPS4Core.pretrain.captions import Captions, make_captions
from CPS4Core.pretrain.contrastive import global_to_local, symmetric_info_nce
from CPS4Core.pretrain.gaussians import Gaussians, wasserstein
from CPS4Core.pretrain.momentum import second_view
from CPS4Core.pretrain.objective import register
from CPS4Core.pretrain.text_guided import TokenPixels, covered_logits, doublings_to
from CPS4Core.pretrain.tokens import attention_over, importance, token_contrast
from CPS4Core.pretrain.two_views import TwoViewOptions, TwoViews, View, unit


class AMVLMOptions(TwoViewOptions):
    """AMVLM's own."""

    css_weight: Weight = 0.5
    local_weight: Weight = 0.1
    icl_weight: Weight = 0.1
    text_mask: bool = False
    """Train the text mask generator, too; its masks are the prompt maps then."""
    token_pixels: TokenPixels = 4
    activation: Literal["cosine", "softmax", "sigmoid"] = "cosine"
    """Of the class map without text masks."""


@register("amvlm", "Pan et al., IEEE TMI 44(11), 2025")
class AMVLM(TwoViews):
    """`L = L_ITC + 0.5 L_CSS + 0.1 L_local + 0.1 L_ICL`, temperature 0.07.

    ITC: InfoNCE of slices and captions. CSS: each word w_i gathers `g_j = sum_p softmax(w_j p /
    tau) p` from the patches of its slice; with `s_ij = w_i g_j / tau` and the Wasserstein distance
    W2 of both as Gaussians, `s' = 1 - (1 - s) sigmoid(W2 / |difference of means|^2)`, cross-entropy
    of s' on the diagonal, both directions, weighted by the words' importance; patches likewise;
    the mean of both. Local: each patch (word) must find its own caption (slice), weighted by
    `minmax(1 / variance)`. ICL: `1/2 [CE((4 - W2 / 200) / tau) + 1/2 (g2l_i + g2l_t)]` between
    momentum Gaussians (0.995) of another view, and their sampled tokens against the sampled
    summary. Class map: the cosine of the local patch and the prompt's global vector.

    Ours: the released distance stacks both operands alike, so that it does not depend on i; here it
    is pairwise, the spread is exp(log sigma), and what a word gathers has the mean and spread that
    it gathers likewise. `tokens.importance` for [CLS] attention, variances without gradient, linear
    heads, no dropout; a caption that several slices share counts once.

    `text_mask: true` is the text mask generator: on frozen encoders a decoder makes the grid finer
    (four times with patches of 16) and learns that the patches under `sigmoid(cos)` say the
    caption; the class map is `0.3 sigmoid(10 (cos - 0.25)) + 0.7 sigmoid(cos)` then. Ours: it
    learns beside stage 1, and a mask for each class prompt takes the place of the mean over the
    captions of a batch, which are file names in the released code. The method
    `amvlm-text-mask` of stage 2 teaches with it.
    """

    class_map: ContrastiveMap
    cost = Cost(forwards=2)
    Options = AMVLMOptions

    @classmethod
    def form(cls, config: Config) -> MapForm:
        own = cls.read_options(config.stage1)
        assert isinstance(own, AMVLMOptions)
        if own.text_mask:
            doublings = doublings_to(own.token_pixels, config.vision_language.vision.patch)
            return MapForm("contrastive", "text-mask", doublings=doublings)
        return MapForm("contrastive", own.activation)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        own, captions = self.own, make_captions(batch.labels, self.schema)
        ours = self.look(batch.images, captions)
        slow = self.slow_look(second_view(batch.images), captions) if own.icl_weight else None
        with full_precision(batch.images):
            tau, positives = own.temperature, captions.positives
            pairs = unit(ours.image) @ unit(ours.text).T / tau
            found = {"image-text": symmetric_info_nce(pairs, positives)}
            gaussians = self.gaussians(ours)
            if own.css_weight:
                found["css"] = own.css_weight * self._css(ours, gaussians, captions)
            if own.local_weight:
                found["local"] = own.local_weight * self._local(ours, gaussians, positives)
            if slow is not None:
                found["icl"] = own.icl_weight * self._icl(slow, gaussians, positives)
            if own.text_mask:
                found["text-mask"] = self._text_mask(ours, positives)
        return found

    def _css(
        self, view: View, gaussians: tuple[Gaussians, Gaussians], captions: Captions
    ) -> Tensor:
        tau, of = self.own.temperature, captions.of
        image, text = gaussians
        patches, words, there = unit(view.patches), unit(view.words)[of], view.there[of]
        of_patches, of_words = image[:, 1:], text[of][:, 1:]
        to_patches = attention_over(words, patches, tau)
        to_words = attention_over(patches, words, tau, there)
        by_word = token_contrast(
            uncertain_scores(words, of_words, patches, of_patches, to_patches, tau),
            importance(unit(view.text)[of], words, tau, there),
            there,
        )
        by_patch = token_contrast(
            uncertain_scores(patches, of_patches, words, of_words, to_words, tau),
            importance(unit(view.image), patches, tau),
        )
        return (by_word + by_patch) / 2

    def _local(
        self, view: View, gaussians: tuple[Gaussians, Gaussians], positives: Tensor
    ) -> Tensor:
        tau, (image, text) = self.own.temperature, gaussians
        patches = unit(view.patches) @ unit(view.text).T / tau
        words = unit(view.words) @ unit(view.image).T / tau
        everywhere = torch.ones_like(patches[..., 0], dtype=torch.bool)
        by_patch = sure_cross_entropy(patches, positives, image[:, 1:].spread, everywhere)
        by_word = sure_cross_entropy(words, positives.T, text[:, 1:].spread, view.there)
        return (by_patch + by_word) / 2

    def _icl(self, slow: View, gaussians: tuple[Gaussians, Gaussians], positives: Tensor) -> Tensor:
        tau = self.own.temperature
        image, text = self.gaussians(slow)
        distance, _ = wasserstein(image[:, 0], text[:, 0])
        pairs = symmetric_info_nce((4 - distance / 200) / tau, positives)
        own = [unit(g[:, 0].sample()) for g in gaussians]
        patches, words = unit(image[:, 1:].sample()), unit(text[:, 1:].sample())
        local = [
            global_to_local(patches, own[0], tau),
            global_to_local(words, own[1], tau, slow.there),
        ]
        return (pairs + (local[0] + local[1]) / 2) / 2

    def _text_mask(self, view: View, positives: Tensor) -> Tensor:
        with torch.no_grad():
            projected = self.class_map.project_patches(view.tokens)
        finer = self.class_map.decoder(projected.movedim(3, 1)).movedim(1, 3)
        patches, texts = unit(finer), unit(view.text).detach()
        masks = torch.einsum("bijd,ud->buij", patches, texts).sigmoid()
        return symmetric_info_nce(
            covered_logits(patches, masks, texts, self.own.temperature), positives
        )


def uncertain_scores(
    tokens: Tensor,
    of_tokens: Gaussians,
    others: Tensor,
    of_others: Gaussians,
    attention: Tensor,
    temperature: float,
) -> Tensor:
    """`s'` of CSS [B, Q, Q]: token i and what token j gathered by `attention` [B, Q, P]."""
    scores = tokens @ (attention @ others).transpose(1, 2) / temperature
    gathered = Gaussians(attention @ of_others.mean, attention @ of_others.spread)
    distance, of_means = wasserstein(of_tokens, gathered)
    trust = (distance / of_means.clamp_min(1e-6)).sigmoid()
    return 1 - (1 - scores) * trust


def sure_cross_entropy(logits: Tensor, positives: Tensor, spread: Tensor, there: Tensor) -> Tensor:
    """Cross-entropy of each token among M partners, sure tokens counting most.

    Logits [N, T, M], positives [N, M] bool shared by the tokens of a sample, spread [N, T, D],
    `there` [N, T] bool; weights `minmax(1 / mean variance)` over a sample's tokens.
    """
    targets = positives / positives.sum(dim=1, keepdim=True)
    losses = -(targets[:, None] * logits.log_softmax(dim=2)).sum(dim=2)
    certainty = 1 / spread.detach().square().mean(dim=2).clamp_min(1e-12)
    low = certainty.masked_fill(~there, torch.inf).amin(dim=1, keepdim=True)
    high = certainty.masked_fill(~there, -torch.inf).amax(dim=1, keepdim=True)
    # Equal variances weigh alike.
    weights = (certainty - low + 1e-6 * high) / (high - low + 1e-6 * high) * there
    return ((weights * losses).sum(dim=1) / weights.sum(dim=1)).mean()
