"""two views, similarity corrected by uncertainty, and masks guided by the captions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import ClassMap, MapForm, full_precision
from CPS4Core.encoders.prompt_attention import PromptAttention
from CPS4Core.methods.method import Batch, Cost
from CPS4Core.methods.options import Weight
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import global_to_local, symmetric_info_nce
from CPS4Core.pretrain.gaussians import Gaussians, squared_distances, wasserstein
from CPS4Core.pretrain.momentum import second_view
from CPS4Core.pretrain.objective import register
from CPS4Core.pretrain.text_guided import TokenPixels, covered_logits, doublings_to, hard_mask
from CPS4Core.pretrain.two_views import TwoViewOptions, TwoViews, View, unit


class DuSSSOptions(TwoViewOptions):
    """DuSSS's own."""

    local_weight: Weight = 0.2
    mask_feature_weight: Weight = 0.1
    mask_image_weight: Weight = 0.1
    token_pixels: TokenPixels = 4


@register("dusss", "Pan et al., AAAI 2025")
class DuSSS(TwoViews):
    """`L = (0.2 g2l_t + 0.2 g2l_i + i2t + t2i + i2i + t2t) / 6 + 0.1 L_feature + 0.1 L_image`.

    i2t, t2i, i2i, t2t: InfoNCE between the vectors of slices and captions and those of momentum
    encoders (0.995) that see another contrast, on `sim' = 1 - (1 - cos) exp(-d / (5 |x - y|^2))`,
    `d = W2 / 200`, W2 the Wasserstein distance of both as Gaussians. g2l: each of the momentum
    encoders' patches (words) against its own slice's (caption's) vector, negatives those of the
    others. L_feature and L_image are TCL's: the patches under a caption's mask, and the slice seen
    through it, must say the caption. Class map: `sigmoid(w cos + b)` of the prompt's vector and the
    patches behind a decoder that makes the grid finer: four times with patches of 16.

    Ours: as released, `d = (W2 / 200 + 4) / 0.07 + 4`, whose constants make sim' 1 everywhere, and
    the cross-entropy has no temperature; here d has neither constants nor temperature (and with W2
    unscaled sim' was 1 everywhere again), and the cross-entropy has the temperature 0.07, not
    learnt. Linear heads, momentum patches not pooled to 4 x 4, no dropout; a caption that
    several slices share counts once.
    """

    class_map: PromptAttention
    cost = Cost(forwards=3)
    Options = DuSSSOptions

    @classmethod
    def form(cls, config: Config) -> MapForm:
        own = cls.read_options(config.stage1)
        assert isinstance(own, DuSSSOptions)
        doublings = doublings_to(own.token_pixels, config.vision_language.vision.patch)
        return MapForm("attention", "sigmoid", doublings=doublings)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        own, captions = self.own, make_captions(batch.labels, self.schema)
        ours = self.look(batch.images, captions)
        slow = self.slow_look(second_view(batch.images), captions)
        with full_precision(batch.images):
            found = self._pairs(ours, slow, captions.positives)
            if own.local_weight:
                tau, share = own.temperature, own.local_weight / 6
                words = global_to_local(unit(slow.words), unit(ours.text), tau, slow.there)
                patches = global_to_local(unit(slow.patches), unit(ours.image), tau)
                found["words-to-text"], found["patches-to-image"] = share * words, share * patches
        return found | self._masks(batch.images, ours, captions.positives)

    def _pairs(self, ours: View, slow: View, positives: Tensor) -> dict[str, Tensor]:
        """The four InfoNCE terms, a sixth each."""
        (image, text), (image_m, text_m) = self.gaussians(ours), self.gaussians(slow)
        sides = {
            "image": (ours.image, image[:, 0], slow.image, image_m[:, 0]),
            "text": (ours.text, text[:, 0], slow.text, text_m[:, 0]),
        }
        found = {}
        for first, second in (("image", "text"), ("text", "image"), *((s, s) for s in sides)):
            similarity = uncertain_similarity(
                unit(sides[first][0]), unit(sides[second][2]), sides[first][1], sides[second][3]
            )
            right = torch.eye(len(similarity), device=positives.device).bool()
            if first != second:
                right = positives if first == "image" else positives.T
            loss = symmetric_info_nce(similarity / self.own.temperature, right)
            found[f"{first}-to-{second}"] = loss / 6
        return found

    def _masks(self, images: Tensor, ours: View, positives: Tensor) -> dict[str, Tensor]:
        own, found = self.own, {}
        with full_precision(images):
            texts, patches = unit(ours.text), self.class_map.patch_vectors(ours.tokens)
            cosines = torch.einsum("bijd,ud->buij", patches, texts)
            logits = self.class_map.scale * cosines + self.class_map.bias
            if own.mask_feature_weight:
                covered = covered_logits(patches, logits.sigmoid(), texts, own.temperature)
                found["mask-feature"] = own.mask_feature_weight * symmetric_info_nce(
                    covered, positives
                )
            if own.mask_image_weight:
                said = logits[positives][:, None]  # each slice by its own caption
                mask = F.interpolate(hard_mask(said), images.shape[2:], mode="nearest")
        if own.mask_image_weight:
            slow = self.momentum["class_map"]
            assert isinstance(slow, ClassMap)
            summary, _ = slow.tokens(images, mask)
            with full_precision(images):
                seen = unit(self.momentum["project_image"](summary.float()))
                loss = symmetric_info_nce(seen @ texts.T / own.temperature, positives)
                found["mask-image"] = own.mask_image_weight * loss
        return found


def uncertain_similarity(x: Tensor, y: Tensor, first: Gaussians, second: Gaussians) -> Tensor:
    """`sim'_ij = 1 - (1 - cos_ij) exp(-W2_ij / 200 / (5 |x_i - y_j|^2))`: [N, M].

    Unit vectors x [N, D] and y [M, D], and the Gaussians of both.
    """
    distance = wasserstein(first, second)[0] / 200
    apart = squared_distances(x, y).clamp_min(1e-4)
    return 1 - (1 - x @ y.T) * torch.exp(-distance / (5 * apart))
