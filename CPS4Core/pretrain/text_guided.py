"""Text-guided masks: what a caption's mask covers must say the caption (TCL, Cha et al., 2023)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

TokenPixels = Annotated[int, Field(gt=0)]
"""The decoder doubles the token grid until a token is at most so many pixels wide."""


def doublings_to(token_pixels: int, patch: int) -> int:
    """How often the grid of `patch` pixels must be doubled for that."""
    return max(0, math.ceil(math.log2(patch / token_pixels)))


def covered_logits(patches: Tensor, masks: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """How well the patches under each caption's mask say it: [B, U].

    Unit patches [B, rows, cols, D], soft masks [B, U, rows, cols], unit texts [U, D]: the cosine
    of the mask's mean patch with its caption, over the temperature.
    """
    weights = masks / (masks.sum(dim=(2, 3), keepdim=True) + 1e-6)
    means = F.normalize(torch.einsum("bijd,buij->bud", patches, weights), dim=-1)
    return torch.einsum("bud,ud->bu", means, texts) / temperature


def hard_mask(logits: Tensor) -> Tensor:
    """A random 0/1 mask with the probabilities sigmoid(logits), gradient of the soft one.

    The Gumbel-sigmoid trick at temperature 1, straight through.
    """
    uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    soft = (logits + uniform.log() - torch.log1p(-uniform)).sigmoid()
    return (soft > 0.5).float() + soft - soft.detach()
