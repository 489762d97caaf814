"""The class map of encoders that contrastive objectives trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from CPS4Core.config import VisionLanguageConfig
from CPS4Core.encoders.class_map import ClassMap, MapForm
from CPS4Core.errors import CPS4Error

ACTIVATIONS = ("cosine", "softmax", "sigmoid", "text-mask")
FIRST_TEMPERATURE, HIGHEST_SCALE = 0.07, 100.0


class ContrastiveMap(ClassMap):
    """Cosine of patch and prompt, with the learnt logit scale `s = exp(theta)` of the objective.

    `cosine`: `A = (1 + cos) / 2`, so that Otsu and the choice between classes see the cosine
    itself; `softmax`: `softmax_c(s cos)` at each patch; `sigmoid`: `sigmoid(s cos)`;
    `text-mask`: `0.3 sigmoid(10 (cos - 0.25)) + 0.7 sigmoid(cos)`, AMVLM's mask.
    """

    def __init__(
        self,
        options: VisionLanguageConfig,
        size: tuple[int, int],
        text_width: int,
        load_weights: bool = True,
        form: MapForm | None = None,
    ):
        super().__init__(options, size, text_width, load_weights, form)
        if self.form.activation not in ACTIVATIONS:
            raise CPS4Error(f"A contrastive class map has no activation '{self.form.activation}'")
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / FIRST_TEMPERATURE)))

    @property
    def scale(self) -> Tensor:
        """s, the inverse of the temperature."""
        return self.log_scale.exp()

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Keep s in 1..100, as CLIP (upper end) and MedCLIP (both ends) do after each step."""
        self.log_scale.clamp_(0, math.log(HIGHEST_SCALE))

    @property
    def competing(self) -> bool:
        return self.form.activation == "softmax"

    def activate(self, cosines: Tensor) -> Tensor:
        activation = self.form.activation
        if activation == "cosine":
            return ((1 + cosines) / 2).clamp(0, 1)
        if activation == "softmax":
            return (self.scale * cosines).softmax(dim=1)
        if activation == "sigmoid":
            return (self.scale * cosines).sigmoid()
        return 0.3 * (10 * (cosines - 0.25)).sigmoid() + 0.7 * cosines.sigmoid()
