"""Tokens as Gaussians: the transformer that gives mean and spread, and how far two lie apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Gaussians:
    """Diagonal Gaussians: `mean` and `spread` (sigma, not its logarithm), both [..., D]."""

    mean: Tensor
    spread: Tensor

    def __getitem__(self, key: object) -> Gaussians:
        return Gaussians(self.mean[key], self.spread[key])  # type: ignore[index]

    def sample(self) -> Tensor:
        """`mean + e spread` with one number e for all."""
        e = torch.randn((), device=self.mean.device)
        return self.mean + e * self.spread


class GaussianTransformer(nn.Module):
    """AMVLM's and DuSSS's probabilistic transformer: tokens [B, T, D] -> their Gaussians.

    `x' = LN(GELU(fc x))`; attention of x' whose output is split in halves, one for the mean, one
    for the log-spread l; `m = x + proj_m; m += MLP(LN m); l = proj_l; l += MLP(LN l)`, and the
    spread is exp(l). Without dropout. D must be even.
    """

    def __init__(self, width: int, heads: int = 8):
        super().__init__()
        self.heads = math.gcd(heads, width)
        self.enter = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.mean, self.spread = nn.Linear(width // 2, width), nn.Linear(width // 2, width)
        self.mean_mlp, self.spread_mlp = _mlp(width), _mlp(width)

    def forward(self, tokens: Tensor, there: Tensor | None = None) -> Gaussians:
        """`there` [B, T] bool: the tokens that exist."""
        batch, count, width = tokens.shape
        split = self.query_key_value(self.enter(tokens)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mask = None if there is None else there[:, None, None]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        first, second = seen.transpose(1, 2).reshape(batch, count, width).chunk(2, dim=2)
        mean, spread = tokens + self.mean(first), self.spread(second)
        return Gaussians(
            mean + self.mean_mlp(mean), (spread + self.spread_mlp(spread)).clamp(-8, 8).exp()
        )


def _mlp(width: int) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    )


def wasserstein(first: Gaussians, second: Gaussians) -> tuple[Tensor, Tensor]:
    """Squared 2-Wasserstein distances of all pairs, and the part of the means alone.

    `W2 = ||m_i - m_j||^2 + ||s_i - s_j||^2`: [..., N, D] and [..., M, D] -> twice [..., N, M].
    """
    of_means = squared_distances(first.mean, second.mean)
    return of_means + squared_distances(first.spread, second.spread), of_means


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """`||a_i - b_j||^2` of all pairs: [..., N, D] and [..., M, D] -> [..., N, M]."""
    a, b = first.square().sum(dim=-1), second.square().sum(dim=-1)
    products = first @ second.transpose(-1, -2)
    return (a[..., :, None] + b[..., None, :] - 2 * products).clamp_min(0)
