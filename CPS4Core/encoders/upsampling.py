"""A small decoder that makes the token grid finer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedUpsampling(nn.Module):
    """[B, D, r, c] -> [B, D, r 2^n, c 2^n] by n steps `y = up(x); y + tanh(g) conv(relu(y))`.

    The gate g is learnt and begins at 0: training starts from plain interpolation. Written after
    the description of the gated decoder of TCL (Cha et al., CVPR 2023), which DuSSS and AMVLM use.
    """

    def __init__(self, width: int, doublings: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1) for _ in range(doublings)
        )
        self.gates = nn.Parameter(torch.zeros(doublings))

    def forward(self, tokens: Tensor) -> Tensor:
        for gate, convolution in zip(self.gates, self.convolutions, strict=True):
            tokens = F.interpolate(tokens, scale_factor=2, mode="bilinear", align_corners=False)
            tokens = tokens + gate.tanh() * convolution(tokens.relu())
        return tokens
