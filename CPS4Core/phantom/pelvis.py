"""The pelvis in front of the sacrum: bright fat with dark-rimmed vessels, bowel and organs in it.

Here lies what is easily taken for a vertebra: grey, round, as large as one, below or before L5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CPS4Core.phantom.acquisition import Acquisition
from CPS4Core.phantom.anatomy import Anatomy

Array = np.ndarray

_TISSUES = ("vessel", "muscle", "muscle", "bowel", "marrow", "nucleus", "fluid")


@dataclass(frozen=True)
class _Organ:
    """A rounded thing: middle and half sizes (x, y, z) in mm, its turn, signal and dark wall."""

    middle: tuple[float, float, float]
    size: tuple[float, float, float]
    angle: float
    power: float
    signal: float
    wall: float


class Pelvis:
    """Paints fat and organs in front of the sacrum and of L5 into any slice of one scan."""

    def __init__(self, anatomy: Anatomy, scan: Acquisition, rng: np.random.Generator):
        self.scan = scan
        self.y, self.z = scan.y[None, :], scan.z[:, None]
        # The peritoneum falls forwards from the front of L5 or L4.
        front = float(anatomy.half_depth[anatomy.sacral])
        self.edge = float(rng.uniform(5, 60)) + float(rng.uniform(0, 0.6)) * (self.y + front)
        self.fat = scan.tissues["fat"] * float(rng.uniform(0.6, 1.3))
        vessel = self._organ(rng, (-front - 14, -front - 3), (-18, 22), (3.5, 9))
        self.organs = [vessel] + [
            self._organ(rng, (-125, -front - 8), (-115, 0), (5, 24))
            for _ in range(int(rng.integers(2, 8)))
        ]

    def _organ(
        self,
        rng: np.random.Generator,
        y: tuple[float, float],
        z: tuple[float, float],
        radius: tuple[float, float],
    ) -> _Organ:
        size = rng.uniform(*radius)
        oval = np.exp(rng.normal(0, 0.25, 3))
        tissue = _TISSUES[int(rng.integers(len(_TISSUES)))]
        return _Organ(
            middle=(float(rng.normal(0, 18)), float(rng.uniform(*y)), float(rng.uniform(*z))),
            size=(float(1.3 * size * oval[0]), float(size * oval[1]), float(size * oval[2])),
            angle=float(rng.uniform(0, np.pi)),
            power=float(rng.uniform(1.8, 3.5)),
            signal=self.scan.tissues[tissue] * float(rng.uniform(0.8, 1.25)),
            wall=float(rng.uniform(0.8, 2.2)) * (rng.random() < 0.7),
        )

    def paint(self, image: Array, k: int, ahead: Array, grain: Array, clumps: Array) -> None:
        """Paint slice `k` over `image`; `ahead` is how far (mm) each pixel lies before the bone."""
        before = _step(ahead / 3)
        fat = self.fat * (1 + 0.07 * grain + 0.12 * clumps)
        image += before * _step((self.edge - self.z + 6 * clumps) / 8) * (fat - image)
        x = float(self.scan.x[k] - self.scan.middle)
        for organ in self.organs:
            inside = self._inside(organ, x)
            if inside is None:
                continue
            wall = self.scan.tissues["ligament"]
            value = organ.signal * (1 + 0.1 * grain)
            image += before * _step(inside + organ.wall) * (wall - image)
            image += before * _step(inside) * (value - image)

    def _inside(self, organ: _Organ, x: float) -> Array | None:
        """Signed distance (rough) to the organ's surface in this slice, inside > 0."""
        (ox, oy, oz), (rx, ry, rz), p = organ.middle, organ.size, organ.power
        across = abs(x - ox) / rx
        if across >= 1:
            return None
        cos, sin = np.cos(organ.angle), np.sin(organ.angle)
        dy, dz = self.y - oy, self.z - oz
        a, b = np.abs(dy * cos + dz * sin) / ry, np.abs(dz * cos - dy * sin) / rz
        far = (a**p + b**p + across**p) ** (1 / p)
        return ((1 - far) * min(ry, rz)).astype(np.float32)


def _step(x: Array) -> Array:
    """A soft step: 0 below -0.5, 1 above 0.5."""
    return (x + 0.5).clip(0, 1)
