"""How a phantom is scanned: the grid of slices, the tissues' signal, the coil and the noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from CPS4Core.phantom.anatomy import Anatomy
from CPS4Core.phantom.frame import SpineFrame

Array = np.ndarray

# T2-weighted signal with cerebrospinal fluid at 1.
T2 = {
    "fluid": 1.0,
    "cord": 0.42,
    "root": 0.34,
    "fat": 0.74,
    "epidural_fat": 0.66,
    "marrow": 0.40,
    "cortex": 0.06,
    "ligament": 0.09,
    "nucleus": 0.66,
    "worn_nucleus": 0.13,
    "annulus": 0.13,
    "muscle": 0.17,
    "bowel": 0.36,
    "vessel": 0.07,
    "skin": 0.30,
}
# How much each varies at contrast 1 (deviation of the logarithm).
_SPREAD = 0.16


@dataclass(frozen=True)
class Acquisition:
    """One scan. Lengths in mm; `tissues` maps a tissue's name to its signal.

    `row_spacing` is also the spacing of columns. `middle` is the left-right place of the middle
    slice, `directions` the 3 x 3 matrix of ITK (columns: image column, row, slice axes, LPS).
    """

    rows: int
    cols: int
    slices: int
    spacing: float
    slice_spacing: float
    thickness: float
    middle: float
    top: float
    front: float
    directions: Array
    origin: Array
    sacrum_visible: bool
    tissues: dict[str, float]
    scale: float
    gamma: float
    noise: float
    matrix: int
    bias: float
    coil_reach: float
    coil_floor: float
    coil_length: float
    saturation: float
    saturation_gap: float

    @cached_property
    def y(self) -> Array:
        """Front-to-back places of the columns."""
        return (self.front + self.spacing * np.arange(self.cols)).astype(np.float32)

    @cached_property
    def z(self) -> Array:
        """Heights of the rows, falling."""
        return (self.top - self.spacing * np.arange(self.rows)).astype(np.float32)

    @cached_property
    def x(self) -> Array:
        """Places of the slices, towards the right (negative) as the slices count up."""
        order = np.arange(self.slices) - (self.slices - 1) / 2
        return self.middle - order * self.slice_spacing


def sample_acquisition(
    rng: np.random.Generator,
    anatomy: Anatomy,
    frame: SpineFrame,
    rows: int,
    cols: int,
    slices: int | None,
    *,
    sacrum_visible: bool | None,
    contrast: float,
    noise: float,
    bias: float,
) -> Acquisition:
    """Draw a scan of a spine; see make_phantom for the arguments.

    The number of draws does not depend on the arguments, so one of them can be changed alone.
    """
    field = rng.uniform(317, 355)
    drawn = int(rng.integers(12, 19))
    slice_spacing = rng.uniform(4.4, 5.5)
    sees_sacrum = bool(rng.random() < 0.85)
    if sacrum_visible is not None:
        sees_sacrum = sacrum_visible
    place, across, middle = rng.random(), rng.uniform(0.46, 0.58), rng.normal(0, 1.5)
    spacing = field / rows
    bottom = lower_limit(anatomy, frame, sees_sacrum, place)
    top = bottom + field
    seen = (frame.z > bottom) & (frame.z < top)
    centre = (frame.y[seen].min() + frame.y[seen].max()) / 2
    aside = float(np.mean(frame.sideways(frame.s[seen]))) + middle
    angles = np.radians(rng.normal(0, [3, 2, 3]))
    count = slices or drawn
    directions = _oblique(angles)
    front = float(centre - across * cols * spacing)
    origin = rng.normal(0, 15, 3) - directions @ (
        np.array([cols * spacing, rows * spacing, count * slice_spacing]) / 2
    )
    names = sorted(T2)
    factors = np.exp(contrast * _SPREAD * rng.standard_normal(len(names)))
    tissues = {name: T2[name] * float(f) for name, f in zip(names, factors, strict=True)}
    return Acquisition(
        rows=rows,
        cols=cols,
        slices=count,
        spacing=float(spacing),
        slice_spacing=float(slice_spacing),
        thickness=0.85 * float(slice_spacing),
        middle=aside,
        top=float(top),
        front=front,
        directions=directions,
        origin=origin,
        sacrum_visible=sees_sacrum,
        tissues=tissues,
        scale=float(rng.uniform(350, 1100)),
        gamma=float(np.exp(0.12 * contrast * rng.standard_normal())),
        noise=noise * float(rng.uniform(0.012, 0.045)),
        matrix=int(rng.integers(320, 449)),
        bias=bias,
        coil_reach=float(rng.uniform(55, 120)),
        coil_floor=float(rng.uniform(0.12, 0.35)),
        coil_length=float(rng.uniform(0.42, 0.7)) * field,
        saturation=float(rng.uniform(0.15, 0.5)) if rng.random() < 0.6 else 1.0,
        saturation_gap=float(rng.uniform(28, 42)),
    )


def lower_limit(a: Anatomy, frame: SpineFrame, sees_sacrum: bool, place: float) -> float:
    """Height of the field of view's lower limit; `place` from 0 to 1 goes upwards."""
    if sees_sacrum:
        return float(-115 + 70 * place)
    # Above everything of L5/S, or no anchor would be truly hidden. L4 stays whole.
    u = np.linspace(-1.2, 1.2, 9) * a.half_depth[a.sacral]
    l5, l4 = a.bodies[0], a.bodies[1]
    low = max(
        np.max(frame.point(a.edges[l5], u)[1]) + 1.5, np.max(frame.point(0.0, u * 2.2)[1]) + 1.5
    )
    high = float(frame.point(a.edges[l4], 0.0)[1]) - 4
    return float(low + place * max(high - low, 0))


def _oblique(angles: Array) -> Array:
    """Sagittal directions turned a little about all three axes."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    sagittal = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    return about_z @ about_y @ about_x @ sagittal
