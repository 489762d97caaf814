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
    attention: Tensor,
    cosines: Tensor,
    size: tuple[int, int],
    options: MapsConfig,
    trained: Tensor | None = None,
) -> PromptMaps:
    """Attention A and cosines [B, K, rows, cols] -> maps at `size` (h, w).

    `S_c = OTSU(UP(A_c))`. Integration `highest-fired`: among the classes c >= 1 above their
    threshold the one with the highest A, background where none fired; `argmax`: the class with the
    highest soft map, background included. A class whose map never exceeds `reject_below` does not
    take part; with `classes: trained` neither does one that is not `trained` ([K] bool): nothing
    has taught its prompt where not to respond.
    """
    soft = _up(attention, size, options.upsampling)
    judged = soft if options.otsu_input == "activation" else _up(cosines, size, options.upsampling)
    thresholds = otsu_thresholds(judged)
    accepted = soft.amax(dim=(2, 3)) >= options.reject_below
    if options.classes == "trained" and trained is not None:
        accepted = accepted & trained
    binary = (judged > thresholds[..., None, None]) & accepted[..., None, None]
    if options.integration == "argmax":
        scores = soft.masked_fill(~accepted[..., None, None], -1.0)
        scores = torch.cat([soft[:, :1], scores[:, 1:]], dim=1)
        return PromptMaps(soft, thresholds, binary, scores.argmax(dim=1))
    integrated = torch.zeros_like(binary[:, 0], dtype=torch.long)
    strength = torch.full_like(soft[:, 0], -1.0)
    for index in range(1, soft.shape[1]):  # one plane at a time stays in the cache
        wins = binary[:, index] & (soft[:, index] > strength)
        integrated.masked_fill_(wins, index)
        strength = torch.where(wins, soft[:, index], strength)
    return PromptMaps(soft, thresholds, binary, integrated)


def _up(maps: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if mode == "nearest":
        return F.interpolate(maps, size, mode="nearest")
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
