"""Smooth random fields, made on coarse grids and brought up by matrix products."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Array = np.ndarray


class RandomFields:
    """float32 fields [rows, cols] of mean 0 and deviation about 1, one for each slice.

    `grain` is the size of a grain in pixels along rows and cols. A field is made when it is asked
    for, so that a large scan does not hold all of them.
    """

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int, int], grain: tuple[float, float]
    ):
        slices, rows, cols = shape
        counts = [max(3, round(n / g) + 3) for n, g in zip((rows, cols), grain, strict=True)]
        self._coarse = rng.standard_normal((slices, *counts), dtype=np.float32)
        self._rows, self._cols = _upwards(rows, counts[0]), _upwards(cols, counts[1]).T

    def __getitem__(self, index: int) -> Array:
        return self._rows @ self._coarse[index] @ self._cols


@lru_cache(maxsize=32)
def _upwards(fine: int, coarse: int) -> Array:
    """Cubic B-spline weights [fine, coarse], scaled so that white noise keeps deviation 1."""
    at = np.linspace(1, coarse - 2, fine)[:, None]
    d = np.abs(at - np.arange(coarse))
    near, far = (4 - 6 * d**2 + 3 * d**3) / 6, (2 - d).clip(0) ** 3 / 6
    weights = np.where(d < 1, near, far)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=8)
def band_limited(fine: int, coarse: int) -> Array:
    """Weights [fine, coarse] of Fourier zero-filling: how scanners enlarge a measured matrix."""
    if coarse >= fine:
        return np.eye(fine, dtype=np.float32)
    spectrum = np.fft.fft(np.eye(coarse), axis=0)
    full = np.zeros((fine, coarse), complex)
    half = (coarse + 1) // 2
    full[:half] = spectrum[:half]
    full[fine - (coarse - half) :] = spectrum[half:]
    weights = np.fft.ifft(full, axis=0).real
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
