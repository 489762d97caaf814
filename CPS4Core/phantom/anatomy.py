"""One spine's anatomy: what is drawn at random, apart from how it is shown.

Lengths are in mm. Positions along the spine, `s`, rise from 0 at the upper end plate of the
sacrum; the sacrum itself has negative `s`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

SACRUM = "S"
LEVELS = (*(f"L{i}" for i in range(5, 0, -1)), *(f"T{i}" for i in range(12, 0, -1)))

# Typical adult sizes from L5 up to T1: height, front-to-back depth and width of the body, and
# height of the disc below it.
_HEIGHT = (27, 27, 27.5, 27, 26, 25, 23.5, 22.3, 21.5, 21, 20.5, 20, 19.5, 19, 18.5, 18, 17)
_DEPTH = (35, 35, 34.5, 34, 33, 31.5, 30.5, 29.5, 29, 28, 27, 26, 25, 24, 22, 20, 18)
_WIDTH = (50, 48, 46, 43, 41, 40, 36, 33, 31, 30, 29, 28, 28, 28, 28, 29, 30)
_DISC = (10, 11.2, 10.5, 9.5, 8.5, 7, 6, 5.3, 5, 4.8, 4.6, 4.4, 4.2, 4, 4, 4, 4.2)
_SACRAL_HEIGHT = (15, 17, 19, 22, 30)
_SACRAL_DEPTH = (9, 12, 16, 22, 31)
_SACRAL_WIDTH = (26, 40, 62, 86, 100)


@dataclass(frozen=True)
class Anatomy:
    """Everything about one spine; arrays over segments run upwards, S5 first.

    A segment is a vertebra or a disc; the five sacral segments share one name. `edges` holds the
    segments' limits along the spine (one more than segments); `screws` names the segments that hold
    pedicle screws.
    """

    names: tuple[str, ...]
    is_disc: Array
    edges: Array
    half_depth: Array
    half_width: Array
    waist: Array
    bulge_front: Array
    bulge_back: Array
    degeneration: Array
    concavity: Array
    lipping: Array
    sacral_slope: float
    sacral_kyphosis: float
    lower_lordosis: float
    upper_lordosis: float
    thoracic_kyphosis: float
    lateral_amplitude: float
    lateral_phase: float
    lateral_tilt: float
    canal_radius: float
    canal_gap: float
    conus: float
    spinous_length: float
    back_fat: float
    lumbar_fat: float
    scale: float
    screws: tuple[int, ...] = ()

    @property
    def centres(self) -> Array:
        """Middle of each segment along the spine."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def heights(self) -> Array:
        """Extent of each segment along the spine."""
        return np.diff(self.edges)

    @property
    def bodies(self) -> list[int]:
        """Segments that are vertebrae above the sacrum, upwards."""
        return [i for i, name in enumerate(self.names) if name != SACRUM and not self.is_disc[i]]

    @property
    def sacral(self) -> int:
        """How many segments the sacrum has."""
        return self.names.count(SACRUM)


def sample_anatomy(rng: np.random.Generator, degeneration: float | None = None) -> Anatomy:
    """Draw a spine. `degeneration` (0 healthy to 1) sets all discs; by default each has its own."""
    scale = rng.uniform(0.88, 1.08)
    count = len(LEVELS)

    def vary(table: tuple[float, ...], spread: float) -> Array:
        return scale * np.array(table) * rng.normal(1, spread, len(table)).clip(0.85, 1.15)

    height, depth, width = vary(_HEIGHT, 0.03), vary(_DEPTH, 0.015), vary(_WIDTH, 0.02)
    wear = _disc_wear(rng, count)
    if degeneration is not None:
        wear = np.full(count, float(degeneration))
    disc = vary(_DISC, 0.06) * (1 - 0.55 * wear**2)
    sacral = vary(_SACRAL_HEIGHT, 0.03)
    sacral_count = len(sacral)

    names = [SACRUM] * sacral_count
    for lower, level in zip((SACRUM, *LEVELS), LEVELS, strict=False):
        names += [f"{level}/{lower}" if lower != SACRUM else f"{level}/{SACRUM}", level]
    is_disc = np.array(["/" in name for name in names])
    edges = np.concatenate([[0], np.cumsum([*sacral, *_alternate(disc, height)])])
    edges -= sacral.sum()

    def per_segment(of_sacrum: Array, of_disc: Array, of_body: Array) -> Array:
        return np.concatenate([of_sacrum, _alternate(of_disc, of_body)])

    sacral_depth = scale * np.array(_SACRAL_DEPTH)
    below = np.concatenate([[sacral_depth[-1]], depth[:-1]])
    disc_width = np.minimum(width, np.concatenate([[width[0]], width[:-1]]))
    nothing, zeros = np.zeros(sacral_count), np.zeros(count)
    bulge = np.where(
        rng.random(count) < 0.15 + 0.5 * wear * (wear > 0.4), rng.uniform(1, 4.5, count), 0.4
    )
    bulge[8:] = np.minimum(bulge[8:], 1)
    end_plate = rng.uniform(0.6, 2.2, count) * (1 - 0.4 * wear)
    concavity = np.zeros(len(edges))
    concavity[sacral_count:-1:2] = 0.6 * end_plate
    concavity[sacral_count + 1 :: 2] = end_plate
    lipping = np.zeros(len(edges))
    lip = np.where(rng.random(count) < wear, rng.uniform(0.5, 3.5, count), 0.3)
    lipping[sacral_count:-1:2] = lipping[sacral_count + 1 :: 2] = lip
    l1 = names.index("L1")
    return Anatomy(
        names=tuple(names),
        is_disc=is_disc,
        edges=edges,
        half_depth=per_segment(sacral_depth, (depth + below) / 2, depth) / 2,
        half_width=per_segment(scale * np.array(_SACRAL_WIDTH), disc_width, width) / 2,
        waist=per_segment(nothing, zeros, rng.uniform(0.06, 0.12, count)),
        bulge_front=per_segment(nothing, 0.5 + 0.5 * bulge.clip(0, 2), zeros),
        bulge_back=per_segment(nothing, bulge, zeros),
        degeneration=per_segment(nothing, wear, zeros),
        concavity=concavity,
        lipping=lipping,
        sacral_slope=np.radians(rng.uniform(32, 46)),
        sacral_kyphosis=np.radians(rng.uniform(45, 75)),
        lower_lordosis=np.radians(rng.uniform(26, 37)),
        upper_lordosis=np.radians(rng.uniform(12, 26)),
        thoracic_kyphosis=np.radians(rng.uniform(28, 50)),
        lateral_amplitude=min(abs(rng.normal(0, 2.4)), 8.0),
        lateral_phase=rng.uniform(0, 2 * np.pi),
        lateral_tilt=np.radians(rng.normal(0, 0.8)),
        canal_radius=scale * rng.uniform(6.8, 8.6),
        canal_gap=rng.uniform(1.0, 2.2),
        conus=float(edges[l1] + rng.uniform(-0.5, 1.6) * height[4]),
        spinous_length=scale * rng.uniform(27, 34),
        back_fat=rng.uniform(3, 14),
        lumbar_fat=rng.uniform(4, 26),
        scale=scale,
    )


def _disc_wear(rng: np.random.Generator, count: int) -> Array:
    """Degeneration 0..1 for each disc from L5/S upwards: a patient's trend, worst at the bottom."""
    trend = rng.uniform(0, 0.7)
    worst = np.exp(-np.arange(count) / 2.2) * rng.uniform(0, 0.7)
    return (trend * rng.uniform(0.4, 1.2, count) + worst * rng.uniform(0, 1.4, count)).clip(0, 1)


def _alternate(first: Array, second: Array) -> Array:
    """first[0], second[0], first[1], ..."""
    return np.stack([first, second], axis=1).ravel()
