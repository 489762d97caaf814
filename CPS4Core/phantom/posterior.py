"""Posterior elements: rounded bars that belong to a vertebra, in rigid frames of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from CPS4Core.phantom.anatomy import Anatomy
from CPS4Core.phantom.frame import SpineFrame

Array = np.ndarray


@dataclass(frozen=True)
class Part:
    """A bar: centre (y, z), direction of its long axis, half sizes, all in mm and radians.

    `angle` turns the axis from straight backwards to downwards. `aside` is the bar's distance
    from the spine's middle (negative to the right) as it runs at `level` (s), `half_width` its
    half size across, `slide` how far it moves forwards for each mm further aside, `taper` how much
    higher its rear end is than its front.
    """

    segment: int
    y: float
    z: float
    angle: float
    half_length: float
    half_height: float
    aside: float
    half_width: float
    level: float
    slide: float = 0.0
    taper: float = 0.0

    def box(self) -> tuple[float, float, float, float]:
        """y and z limits that hold the bar."""
        reach = max(self.half_length, self.half_height) * 1.3 + 3 + self.slide * self.half_width
        return self.y - reach, self.y + reach, self.z - reach, self.z + reach

    def distance(self, y: Array, z: Array, w: float) -> Array | None:
        """Signed distance [z, y] at `w` mm aside of the spine's middle, inside > 0; None: away."""
        across = (w - self.aside) / self.half_width
        if abs(across) >= 1:
            return None
        size = (1 - abs(across) ** 3) ** (1 / 3)
        dy = (y - self.y + self.slide * (abs(w) - abs(self.aside)))[None, :]
        dz = (z - self.z)[:, None]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        length, height = self.half_length * size, self.half_height * size
        a = (dy * cos - dz * sin) / length
        b = (dy * sin + dz * cos) / (height * (1 + self.taper * a.clip(-1, 1)))
        a2, b2 = a * a, b * b
        g = np.cbrt(a2 * np.abs(a) + b2 * np.abs(b) + np.float32(1e-4))
        slope = np.hypot(a2 / length, b2 / height) / (g * g) + np.float32(1e-3)
        return np.minimum((1 - g) / slope, self.half_width - abs(w - self.aside))


def posterior_parts(anatomy: Anatomy, frame: SpineFrame) -> list[Part]:
    """All posterior elements of a spine, the sacrum's crest included."""
    return [*_sacral_crest(anatomy, frame), *_above(anatomy, frame)]


def _above(a: Anatomy, frame: SpineFrame) -> Iterator[Part]:
    bodies = a.bodies
    for level, i in enumerate(bodies):
        h, depth, centre = a.heights[i], a.half_depth[i], a.centres[i]
        # 0 in the lumbar spine, 1 in the middle of the thoracic one.
        thoracic = float(np.clip((level - 4) / 4, 0, 1))
        behind = depth + a.canal_gap + 2 * a.canal_radius * (1 - 0.1 * thoracic)

        def place(
            s: float, u: float, tilt: float, size: tuple[float, float], side: tuple[float, float],
            *, segment: int = i, origin: float = centre, slide: float = 0.0, taper: float = 0.0,
        ) -> Part:  # fmt: skip
            # Rigid with the body: seen from its middle, not bent with the spine.
            lean = float(frame.at(origin, frame.lean))
            y0, z0 = frame.point(origin, 0.0)
            ds = s - origin
            return Part(
                segment=segment,
                y=float(y0 + u * np.cos(lean) + ds * np.sin(lean)),
                z=float(z0 - u * np.sin(lean) + ds * np.cos(lean)),
                angle=lean + tilt,
                half_length=float(size[0]),
                half_height=float(size[1]),
                aside=float(side[0]),
                half_width=float(side[1]),
                level=float(origin),
                slide=slide,
                taper=taper,
            )

        # Lordosis brings the tips together, so they must be lower there.
        tip = behind + 0.5 * a.spinous_length
        below = a.centres[bodies[level - 1]] if level else a.centres[a.sacral - 1]
        lean = [float(frame.at(s, frame.lean)) for s in (below, centre)]
        room = (centre - below) - tip * (lean[1] - lean[0])
        length = a.spinous_length * (0.72 if level == 0 else 1) / 2 * (1 + 0.1 * thoracic)
        height = min(h * (0.42 - 0.16 * thoracic), 0.42 * max(room, 12))
        if level == 0:
            height *= 0.8
        tilt = 0.12 + 0.75 * thoracic
        drop = h * (0.44 + 0.3 * thoracic)
        pedicle = a.half_width[i] * (0.55 if level else 0.66)
        yield place(
            centre - drop, behind + 3 + length * np.cos(tilt), tilt, (length, height), (0, 5.0),
            taper=0.2,
        )  # fmt: skip
        for side in (-1, 1):
            yield place(
                centre - 0.34 * h, behind + 2.2, -0.35, (3.4, 0.32 * h), (side * 6.5, 7.5),
                slide=0.35,
            )  # fmt: skip
            yield place(centre + 0.2 * h, depth + 6, 0.0, (10.5, 0.26 * h), (side * pedicle, 4.6))
            yield place(
                centre + 0.45 * h, depth + 13.5, -0.25, (4.6, 0.36 * h),
                (side * (pedicle + 2), 6.5),
            )  # fmt: skip
            yield place(
                centre - 0.15 * h, depth + 16.5, -0.5, (4.2, 0.40 * h), (side * (pedicle + 1), 6.0)
            )
            yield place(
                centre - 0.68 * h, depth + 19.0, -0.22, (4.6, 0.38 * h),
                (side * pedicle, 6.0),
            )  # fmt: skip
            yield place(
                centre + 0.12 * h, depth + 13, 0.1, (4.5, 0.2 * h), (side * (pedicle + 14), 12)
            )


def _sacral_crest(a: Anatomy, frame: SpineFrame) -> Iterator[Part]:
    n = a.sacral
    for k in range(n - 1, 0, -1):
        s = float(a.centres[k])
        depth = float(a.half_depth[k])
        room = max(2 * a.canal_radius * (k / (n - 1)) ** 1.2, 5.0)
        height = float(a.heights[k]) / 2
        lean = float(frame.at(s, frame.lean))
        size = (6.5 - 0.9 * (n - 1 - k), 0.92 * height)
        for u, side in ((depth + room + 2 + size[0], (0.0, 5.0)), (depth + room + 4, (0.0, 16.0))):
            y, z = frame.point(s - 4, u)
            thick = size[0] if side[1] < 10 else 3.2
            yield Part(k, float(y), float(z), lean, thick, float(size[1]), *side, level=s)
