"""Pedicle screws: where metal takes the signal away and piles it up around the hole."""

from __future__ import annotations

import numpy as np

from CPS4Core.phantom.anatomy import Anatomy

Array = np.ndarray

_RADIUS = 6.0


def metal_factor(anatomy: Anatomy, s: Array, u: Array, w: Array) -> Array:
    """float32 factor of the signal at places (s, u), `w` mm aside of the spine's middle."""
    factor = np.ones(np.broadcast(s, u, w).shape, np.float32)
    for i in anatomy.screws:
        depth, pedicle = anatomy.half_depth[i], 0.55 * anatomy.half_width[i]
        along = u - u.clip(-0.4 * depth, depth + 16)
        # The hole reaches further across than the screw, for slices are thick.
        across = (np.abs(w) - pedicle) / 1.6
        away = np.sqrt(along**2 + (s - anatomy.centres[i]) ** 2 + across**2) - _RADIUS
        factor *= (away / 4 + 0.5).clip(0, 1) * (1 + 0.6 * np.exp(-(((away - 5) / 3) ** 2)))
    return factor
