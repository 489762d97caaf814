"""The curved coordinate frame of a spine in the sagittal plane.

`s` runs up along the middle of the vertebral bodies, `u` is the distance behind that line. Points
of the plane are (y, z) in mm: y grows backwards, z upwards, the origin is the middle of the
sacrum's upper end plate.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from CPS4Core.phantom.anatomy import Anatomy

Array = np.ndarray

_STEP = 1.0
_MARGIN = 60.0


class SpineFrame:
    """Maps between (s, u) and (y, z), and tells how far the spine bends aside."""

    def __init__(self, anatomy: Anatomy):
        low, top = anatomy.edges[0], anatomy.edges[-1]
        self.s = np.arange(low - _MARGIN, top + _MARGIN, _STEP)
        l4, t12 = anatomy.names.index("L4"), anatomy.names.index("T12")
        # Each piece bends evenly; smoothing joins them. Positive is lordosis.
        pieces = (
            (low, -4.0, -anatomy.sacral_kyphosis),
            (-4.0, anatomy.edges[l4], anatomy.lower_lordosis),
            (anatomy.edges[l4], anatomy.edges[t12], anatomy.upper_lordosis),
            (anatomy.edges[t12 + 2], top, -anatomy.thoracic_kyphosis),
        )
        bend = np.zeros_like(self.s)
        for start, end, angle in pieces:
            bend[(self.s >= start) & (self.s < end)] = angle / (end - start)
        self.bend = gaussian_filter1d(bend, 11 / _STEP)
        lean = np.cumsum(self.bend) * _STEP
        self.lean = lean - np.interp(0, self.s, lean) - anatomy.sacral_slope
        y, z = np.cumsum(np.sin(self.lean)) * _STEP, np.cumsum(np.cos(self.lean)) * _STEP
        self.y, self.z = y - np.interp(0, self.s, y), z - np.interp(0, self.s, z)
        self._anatomy = anatomy

    def at(self, s: Array | float, values: Array) -> Array:
        """A quantity sampled along the line, at `s`."""
        return np.interp(s, self.s, values)

    def point(self, s: Array | float, u: Array | float) -> tuple[Array, Array]:
        """(y, z) of a place."""
        lean = self.at(s, self.lean)
        return (
            self.at(s, self.y) + u * np.cos(lean),
            self.at(s, self.z) - u * np.sin(lean),
        )

    def sideways(self, s: Array) -> Array:
        """How far the spine's middle lies to the left of the body's, in mm."""
        a = self._anatomy
        length = a.edges[-1] - a.edges[0]
        curve = a.lateral_amplitude * np.sin(4 * np.pi * s / length + a.lateral_phase)
        return curve + np.tan(a.lateral_tilt) * (s - 110)

    def locate(self, y: Array, z: Array) -> tuple[Array, Array]:
        """s and u of every point of the grid y x z: two float32 arrays [z, y].

        They are worked out on a coarse grid and interpolated; behind the centre of a bend, where
        more than one place of the line is nearest, they are rough.
        """
        coarse_y = np.linspace(y[0], y[-1], max(2, int(abs(y[-1] - y[0]) / 4)))
        coarse_z = np.linspace(z[0], z[-1], max(2, int(abs(z[-1] - z[0]) / 4)))
        dy = coarse_y[None, :, None] - self.y[::3]
        dz = coarse_z[:, None, None] - self.z[::3]
        nearest = 3 * np.argmin(dy**2 + dz**2, axis=2)
        dy = coarse_y[None, :] - self.y[nearest]
        dz = coarse_z[:, None] - self.z[nearest]
        sin, cos = np.sin(self.lean[nearest]), np.cos(self.lean[nearest])
        u = dy * cos - dz * sin
        # One Newton step from the nearest sample to the nearest place on the line.
        shift = (dy * sin + dz * cos) / np.maximum(1 - self.bend[nearest] * u, 0.2)
        s = self.s[nearest] + shift.clip(-_MARGIN, _MARGIN)
        u = u + self.bend[nearest] * shift**2 / 2
        rows = np.linspace(0, len(coarse_z) - 1, len(z), dtype=np.float32)
        cols = np.linspace(0, len(coarse_y) - 1, len(y), dtype=np.float32)
        grid = np.meshgrid(rows, cols, indexing="ij")
        full = [
            map_coordinates(f.astype(np.float32), grid, order=1, output=np.float32) for f in (s, u)
        ]
        return full[0], full[1]
