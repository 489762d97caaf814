"""CPS4, stage 1: class prompts learn to attend to the regions of their classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from CPS4Core.encoders.prompt_attention import PromptAttention
from CPS4Core.methods.method import Batch
from CPS4Core.pretrain.losses import (
    background_or_hidden,
    pixel_attention_loss,
    token_attention_loss,
)
from CPS4Core.pretrain.objective import Objective, register
from CPS4Core.pretrain.targets import make_targets


@register("cps4", "CPS4, 2026; losses after TokenCompose, CVPR 2024")
class CPS4(Objective):
    """`L = token_weight L_token + pixel_weight L_pixel`, formulas (1) and (2), all K prompts.

    Class map: `A = sigmoid(w cos(v, t) + b)` or the softmax over the prompts, as
    `vision_language.activation` says. Its options are fields of `stage1`; it has no own ones.
    """

    class_map: PromptAttention

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        cosines = self.class_map.cosines(batch.images, self.vectors())
        size = (batch.labels.shape[1], batch.labels.shape[2])
        log_a, log_not_a = self.class_map.log_attention(cosines)
        hidden = None
        if batch.hidden is not None:  # the attention's grid is coarse: by image is near enough
            hidden = batch.hidden.flatten(2).any(dim=2)
            log_a, log_not_a = background_or_hidden(log_a, log_not_a, hidden)
        if self.options.target == "full-resolution":
            log_a = F.interpolate(log_a, size, mode="bilinear", align_corners=False)
            log_not_a = F.interpolate(log_not_a, size, mode="bilinear", align_corners=False)
        targets = make_targets(
            batch.labels,
            self.schema.class_count,
            (cosines.shape[2], cosines.shape[3]),
            self.options.target,
            self.options.include_background,
        )
        found: dict[str, Tensor] = {}
        if self.options.token_weight:
            found["token"] = self.options.token_weight * token_attention_loss(log_a.exp(), targets)
        if self.options.pixel_weight:
            found["pixel"] = self.options.pixel_weight * pixel_attention_loss(
                log_a,
                log_not_a,
                targets,
                self.options.absent_classes == "suppress",
                hidden,
            )
        return found
