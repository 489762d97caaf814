"""Otsu's threshold for many maps at once."""

from __future__ import annotations

import torch
from torch import Tensor


def otsu_thresholds(maps: Tensor, bins: int = 256) -> Tensor:
    """Otsu's threshold of each map: [..., h, w] -> [...].

    The histogram spans each map's own range and the threshold is a bin's centre, as in
    scikit-image's `threshold_otsu` (Otsu, IEEE Trans. SMC 9(1), 1979). A constant map gets its own
    value, so that nothing lies above it.
    """
    shape = maps.shape[:-2]
    flat = maps.reshape(-1, maps.shape[-1] * maps.shape[-2]).float()
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    width = (high - low).clamp_min(1e-12) / bins
    counts = torch.stack(
        [
            torch.histc(row, bins, float(a), float(b))
            for row, a, b in zip(flat, low, high, strict=True)
        ]
    ).double()
    centres = low + (torch.arange(bins, device=maps.device) + 0.5) * width
    below, moment = counts.cumsum(1), (counts * centres).cumsum(1)
    above = below[:, -1:] - below
    mean_below = moment / below.clamp_min(1)
    mean_above = (moment[:, -1:] - moment) / above.clamp_min(1)
    between = below * above * (mean_below - mean_above).square()
    best = between[:, :-1].argmax(dim=1, keepdim=True)
    threshold = torch.where(high > low, centres.gather(1, best), high)
    return threshold[:, 0].to(maps.dtype).reshape(shape)
