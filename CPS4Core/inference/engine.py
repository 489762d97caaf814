"""What runs the network: one small interface, so that the rest does not know by which library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A loaded network at its working size h x w with K classes."""

    name: str
    """Library, device and number format, for people to read."""

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        """One working slice [h, w] float32 in 0..1 -> softmax [K, h, w] float32.

        The result is valid until the next call.
        """

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        """Softmax [K, h, w] of each slice of [S, h, w] uint8, in order; 0..255 stands for 0..1.

        Volumes are held in 8 bits here as in training, a quarter of the memory. Several slices go
        through the network at once where that is faster (on a GPU).
        """
