"""How class prompts attend to patches: `A_c[u]` from prompt tokens `t_c`, patch tokens `v_u`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import VisionLanguageConfig
from CPS4Core.encoders.class_map import ClassMap, MapForm
from CPS4Core.errors import CPS4Error

ACTIVATIONS = ("sigmoid", "cross-class")


class PromptAttention(ClassMap):
    """The class map of CPS4 (and, behind a decoder, of DuSSS).

    `sigmoid`: `A = sigmoid(w cos(v, t) + b)`, w and b learnable; `cross-class`: softmax over the K
    prompts at each patch with a fixed temperature.
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
        self.activation = self.form.activation or options.activation
        if self.activation not in ACTIVATIONS:
            raise CPS4Error(f"The prompt attention has no activation '{self.activation}'")
        self.temperature = options.temperature
        self.scale = nn.Parameter(torch.tensor(float(options.scale)))
        self.bias = nn.Parameter(torch.tensor(float(options.bias)))

    def log_attention(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """`log A` and `log(1 - A)`, both [B, K, rows, cols], without loss of precision."""
        if self.activation == "sigmoid":
            logits = self.scale * cosines + self.bias
            return F.logsigmoid(logits), F.logsigmoid(-logits)
        log_a = F.log_softmax(cosines / self.temperature, dim=1)
        return log_a, torch.log1p(-log_a.exp().clamp(max=1 - 1e-6))

    @property
    def competing(self) -> bool:
        return self.activation == "cross-class"

    def activate(self, cosines: Tensor) -> Tensor:
        return self.log_attention(cosines)[0].exp()
