"""How class prompts attend to patches: `A_c[u]` from prompt tokens `t_c`, patch tokens `v_u`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import VisionLanguageConfig
from CPS4Core.encoders.vision import make_vision_encoder
from CPS4Core.networks.normalisation import make_normalisation


class PromptAttention(nn.Module):
    """Vision encoder, both projections (then L2 norm) and the activation of the attention.

    `sigmoid`: `A = sigmoid(w cos(v, t) + b)`, w and b learnable; `cross-class`: softmax over the K
    prompts at each patch with a fixed temperature. The text encoder stands beside it, because
    prompts are encoded once and this part is all that prompt maps need.
    """

    def __init__(
        self,
        options: VisionLanguageConfig,
        size: tuple[int, int],
        text_width: int,
        load_weights: bool = True,
    ):
        super().__init__()
        self.activation, self.temperature = options.activation, options.temperature
        self.normalise = make_normalisation(options.normalise, rows=size[0])
        self.vision = make_vision_encoder(options.vision, size, load_weights)
        self.project_patches = nn.Linear(self.vision.width, options.projection)
        self.project_prompts = nn.Linear(text_width, options.projection)
        self.scale = nn.Parameter(torch.tensor(float(options.scale)))
        self.bias = nn.Parameter(torch.tensor(float(options.bias)))

    def prompt_vectors(self, prompt_tokens: Tensor) -> Tensor:
        """Prompt tokens [K, text width] -> unit vectors [K, D]."""
        return F.normalize(self.project_prompts(prompt_tokens), dim=-1)

    def patches(self, images: Tensor) -> Tensor:
        """Images [B, 1, h, w] in 0..1 -> unit vectors [B, rows, cols, D], whatever the prompts."""
        with torch.autocast(images.device.type, enabled=False):
            normalised = self.normalise(images.float())
        tokens = self.project_patches(self.vision(normalised))
        # Half precision would round cosines and log(1 - A) too coarsely.
        with torch.autocast(images.device.type, enabled=False):
            return F.normalize(tokens.float(), dim=-1)

    def cosines(self, images: Tensor, vectors: Tensor) -> Tensor:
        """`cos(v_u, t_c)`: images [B, 1, h, w] in 0..1, vectors [K, D] -> [B, K, rows, cols]."""
        return self._compare(self.patches(images), vectors)

    def _compare(self, patches: Tensor, vectors: Tensor) -> Tensor:
        with torch.autocast(patches.device.type, enabled=False):
            return torch.einsum("bijd,kd->bkij", patches, vectors.float())

    def log_attention(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """`log A` and `log(1 - A)`, both [B, K, rows, cols], without loss of precision."""
        if self.activation == "sigmoid":
            logits = self.scale * cosines + self.bias
            return F.logsigmoid(logits), F.logsigmoid(-logits)
        log_a = F.log_softmax(cosines / self.temperature, dim=1)
        return log_a, torch.log1p(-log_a.exp().clamp(max=1 - 1e-6))

    def forward(self, images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The attention A in 0..1 and the cosines behind it, both [B, K, rows, cols]."""
        return self.attend(self.patches(images), vectors)

    def attend(self, patches: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The same from patches [B, rows, cols, D] of before."""
        cosines = self._compare(patches, vectors)
        return self.log_attention(cosines)[0].exp(), cosines
