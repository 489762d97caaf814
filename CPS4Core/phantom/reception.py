"""The receive side of a scan: coil sensitivity, saturation band, noise and digital values."""

from __future__ import annotations

import numpy as np

from CPS4Core.phantom.acquisition import Acquisition
from CPS4Core.phantom.texture import band_limited

Array = np.ndarray


def coil_field(scan: Acquisition, skin: Array, column: Array) -> Array:
    """Sensitivity [rows, cols], 1 in the middle of the column.

    `skin` and `column` are the rows' places of the back's skin and of the spine, [rows, 1].
    """
    y, z = scan.y[None, :], scan.z[:, None]
    near = np.exp(-(skin - y).clip(0) / scan.coil_reach)
    middle = (scan.z[0] + scan.z[-1]) / 2
    along = np.exp(-(((z - middle) / scan.coil_length) ** 2) / 2)
    field = (scan.coil_floor + (1 - scan.coil_floor) * near) * along
    field = field / np.interp(np.median(column), scan.y, field[len(field) // 2])
    field = field**scan.bias
    if scan.saturation < 1 and scan.bias > 0:
        # A saturation band in front of the spine, straight as scanners make it.
        slope, level = np.polyfit(scan.z, column.ravel(), 1)
        edge = slope * z + level - scan.saturation_gap
        kept = ((y - edge) / 6 + 0.5).clip(0, 1)
        field = field * (scan.saturation + (1 - scan.saturation) * kept)
    return field.astype(np.float32)


def receive(scan: Acquisition, signal: Array, field: Array, rng: np.random.Generator) -> Array:
    """int16 image [slices, rows, cols] of noise-free `signal`, with Rician noise."""
    slices, rows, cols = signal.shape
    image = np.power(signal.clip(0), scan.gamma, dtype=np.float32) * field
    counts = min(rows, scan.matrix), min(cols, scan.matrix)
    up, across = band_limited(rows, counts[0]), band_limited(cols, counts[1]).T
    # A pixel holds as much noise as its size: coarse grids average it away.
    level = np.float32(scan.noise * np.sqrt(min(1.0, rows / scan.matrix)))
    for k in range(slices):
        real, imaginary = (
            up @ rng.standard_normal(counts, dtype=np.float32) @ across for _ in range(2)
        )
        image[k] = np.hypot(image[k] + level * real, level * imaginary)
    return np.rint(image * scan.scale).clip(0, np.iinfo(np.int16).max).astype(np.int16)
