"""Formula (3): attention -> up-sampling -> Otsu -> one integrated map per image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import MapsConfig
from CPS4Core.prompt_maps.otsu import otsu_thresholds


@dataclass
class PromptMaps:
    """Maps of B images: `soft` [B, K, h, w] the up-sampled attention in 0..1, `thresholds` [B, K],
    `binary` [B, K, h, w] bool, `integrated` [B, h, w] class indices (y_text)."""

    soft: Tensor
    thresholds: Tensor
    binary: Tensor
    integrated: Tensor


def prompt_maps(
    attention: Tensor, cosines: Tensor, size: tuple[int, int], options: MapsConfig
) -> PromptMaps:
    """Attention A and cosines [B, K, rows, cols] -> maps at `size` (h, w).

    `S_c = OTSU(UP(A_c))`. Integration `highest-fired`: among the classes c >= 1 above their
    threshold the one with the highest A, background where none fired; `argmax`: the class with the
    highest soft map, background included. A class whose map never exceeds `reject_below` does not
    take part.
    """
    soft = _up(attention, size, options.upsampling)
    judged = soft if options.otsu_input == "activation" else _up(cosines, size, options.upsampling)
    thresholds = otsu_thresholds(judged)
    accepted = soft.amax(dim=(2, 3)) >= options.reject_below
    binary = (judged > thresholds[..., None, None]) & accepted[..., None, None]
    if options.integration == "argmax":
        scores = soft.masked_fill(~accepted[..., None, None], -1.0)
        scores = torch.cat([soft[:, :1], scores[:, 1:]], dim=1)
        return PromptMaps(soft, thresholds, binary, scores.argmax(dim=1))
    fired = soft[:, 1:].masked_fill(~binary[:, 1:], -1.0)
    strength, winner = fired.max(dim=1)
    integrated = torch.where(strength >= 0, winner + 1, 0)
    return PromptMaps(soft, thresholds, binary, integrated)


def _up(maps: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if mode == "nearest":
        return F.interpolate(maps, size, mode="nearest")
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
