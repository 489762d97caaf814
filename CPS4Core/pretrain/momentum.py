"""Momentum encoders: a second, slower pair that looks at a second view of each slice."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from CPS4Core.methods.ema import follow


class Momentum(nn.Module):
    """Slow copies of modules; they get no gradient of their own."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float):
        super().__init__()
        self.decay = decay
        slow = {name: copy.deepcopy(module) for name, module in modules.items()}
        self.slow = nn.ModuleDict(slow).requires_grad_(False)

    def __getitem__(self, name: str) -> nn.Module:
        return self.slow[name]

    def follow(self, modules: Mapping[str, nn.Module]) -> None:
        """`theta_m <- decay theta_m + (1 - decay) theta`; buffers are copied."""
        for name, module in modules.items():
            follow(self.slow[name], [(module, 1.0)], self.decay)

    def restart(self, modules: Mapping[str, nn.Module]) -> None:
        """Become copies again."""
        for name, module in modules.items():
            self.slow[name].load_state_dict(module.state_dict())


def second_view(images: Tensor) -> Tensor:
    """The slices [B, 1, h, w] in 0..1 in another contrast, brightness and noise.

    Places are kept: what a patch shows stays in its place, and the spine is never turned.
    """
    shape = (len(images), 1, 1, 1)
    contrast, gamma = (torch.rand(shape, device=images.device) for _ in range(2))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed = (mean + (0.5 + contrast) * (images - mean)).clamp(1e-3, 1)
    changed = changed ** torch.exp(0.8 * gamma - 0.4)
    return (changed + 0.03 * torch.randn_like(images)).clamp(0, 1)
