"""The two attention losses of stage 1, formulas (1) and (2)."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.pretrain.targets import Targets


def token_attention_loss(attention: Tensor, targets: Targets) -> Tensor:
    """Formula (1): pull the attention of a class into its region.

    `L_token = 1/|C_i| sum_c (1 - sum_u B_c[u] A_c[u] / sum_u A_c[u])^2`, c over the classes in the
    image, then the mean over images. `attention` is A [B, K, rows, cols] in 0..1. 0 for a batch
    without any class.
    """
    seen = attention * targets.valid
    inside = (targets.masks * seen).sum(dim=(2, 3))
    share = inside / seen.sum(dim=(2, 3)).clamp_min(1e-8)
    return _mean_over_classes((1 - share).square(), targets.present)


def pixel_attention_loss(
    log_attention: Tensor,
    log_complement: Tensor,
    targets: Targets,
    suppress_absent: bool = False,
    hidden: Tensor | None = None,
) -> Tensor:
    """Formula (2): binary cross-entropy of the attention at every location.

    `L_pixel = -1/(|C_i| N) sum_c sum_u (B log A + (1 - B) log(1 - A))`, then the mean over images.
    Takes log A and log(1 - A), [B, K, rows, cols]. With `suppress_absent` the sum runs over all K
    classes, those not in the image with B = 0; `hidden` [B, K] bool are left out of it, since they
    may well be in the image without a label.
    """
    entropy = -(targets.masks * log_attention + (1 - targets.masks) * log_complement)
    locations = targets.valid.sum(dim=(2, 3)).clamp_min(1)
    per_class = (entropy * targets.valid).sum(dim=(2, 3)) / locations
    counted = targets.present
    if suppress_absent:
        counted = torch.ones_like(counted) if hidden is None else counted | ~hidden
    return _mean_over_classes(per_class, counted)


def background_or_hidden(
    log_attention: Tensor, log_complement: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """The background's attention where its label may hide classes: the highest of it and theirs.

    So a prompt that fires on an unlabelled structure satisfies the background's target there and
    is not suppressed. log A and log(1 - A) [B, K, rows, cols], `hidden` [B, K] bool.
    """
    together = hidden.clone()
    together[:, 0] = True
    others = ~together[:, :, None, None]
    highest = log_attention.masked_fill(others, -torch.inf).amax(dim=1, keepdim=True)
    complement = log_complement.masked_fill(others, torch.inf).amin(dim=1, keepdim=True)
    return (
        torch.cat([highest, log_attention[:, 1:]], dim=1),
        torch.cat([complement, log_complement[:, 1:]], dim=1),
    )


def _mean_over_classes(values: Tensor, counted: Tensor) -> Tensor:
    """[B, K] -> the mean over each image's counted classes, then over images that have any."""
    per_image = (values * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)
    has_any = counted.any(dim=1)
    return per_image[has_any].mean() if has_any.any() else (values * 0).sum()
