"""What objectives with a contrastive class map let one choose of it."""

from __future__ import annotations

from typing import Literal

from CPS4Core.methods.options import MethodOptions


class ContrastiveOptions(MethodOptions):
    """Base of the options of such objectives."""

    activation: Literal["cosine", "softmax", "sigmoid"] = "cosine"
    """How a cosine becomes an activation: `CPS4Core.encoders.contrastive_map`."""
