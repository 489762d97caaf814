"""Stage 1 as something the training loop can train: prompts, attention, both losses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import Stage1Config
from CPS4Core.encoders.prompt_attention import PromptAttention
from CPS4Core.encoders.text import TextEncoder
from CPS4Core.methods.method import Batch
from CPS4Core.pretrain.losses import (
    background_or_hidden,
    pixel_attention_loss,
    token_attention_loss,
)
from CPS4Core.pretrain.targets import make_targets
from CPS4Core.schema import LabelSchema


class PromptPretraining(nn.Module):
    """`L = token_weight L_token + pixel_weight L_pixel` on labelled slices, with all K prompts."""

    def __init__(
        self,
        attention: PromptAttention,
        text: TextEncoder,
        schema: LabelSchema,
        options: Stage1Config,
    ):
        super().__init__()
        self.attention, self.text = attention, text
        self.schema, self.options = schema, options

    def vectors(self) -> Tensor:
        """The K class prompts as unit vectors [K, D]."""
        names = [self.schema.background, *(s.full_name for s in self.schema.structures)]
        return self.attention.prompt_vectors(self.text(self.schema.prompts, names))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The named losses of the labelled slices."""
        cosines = self.attention.cosines(batch.images, self.vectors())
        size = (batch.labels.shape[1], batch.labels.shape[2])
        log_a, log_not_a = self.attention.log_attention(cosines)
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

    def after_step(self, step: int) -> None:
        """Nothing to do between steps."""

    def trained(self) -> list[nn.Parameter]:
        """Both encoders and both projections."""
        return [p for p in self.parameters() if p.requires_grad]
