"""From a label map to each class's target on the attention's grid (M to B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.schema import IGNORE_INDEX


@dataclass
class Targets:
    """`masks` [B, K, rows, cols] in 0..1 (B_c); `valid` [B, 1, rows, cols] 1 where labelled;
    `present` [B, K] whether the class counts among the classes C_i of the image."""

    masks: Tensor
    valid: Tensor
    present: Tensor


def make_targets(
    labels: Tensor, class_count: int, grid: tuple[int, int], rule: str, include_background: bool
) -> Targets:
    """Class indices [B, h, w] (IGNORE_INDEX: no label) -> targets on `grid` (rows, cols).

    `rule`: `any` bilinear without anti-aliasing, then > 0; `half` the same, then >= 0.5;
    `occupancy` the share of each patch; `full-resolution` the masks as they are.
    """
    ignored = labels == IGNORE_INDEX
    full = F.one_hot(labels.masked_fill(ignored, 0), class_count).permute(0, 3, 1, 2).float()
    full = full * ~ignored[:, None]
    known = (~ignored)[:, None].float()
    if rule == "full-resolution":
        masks, valid = full, known
    elif rule == "occupancy":
        share = F.adaptive_avg_pool2d(known, grid)
        masks = F.adaptive_avg_pool2d(full, grid) / share.clamp_min(1e-6)
        valid = (share > 0.5).float()
    else:
        soft = F.interpolate(full, grid, mode="bilinear", align_corners=False, antialias=False)
        masks = (soft > 0 if rule == "any" else soft >= 0.5).float()
        valid = (F.interpolate(known, grid, mode="bilinear", align_corners=False) > 0).float()
    masks = masks * valid
    present = masks.sum(dim=(2, 3)) > 0
    if not include_background:
        present = torch.cat([torch.zeros_like(present[:, :1]), present[:, 1:]], dim=1)
    return Targets(masks, valid, present)
