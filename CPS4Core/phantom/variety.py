"""Strongly varied phantoms for training: other sequences, resolutions, fields of view, spines.

`make_phantom` imitates one kind of scan; here nearly everything is drawn, so that a network that
learns from the set survives other scanners, and knows the sacrum and a view without it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from CPS4Core.phantom.acquisition import T2, Acquisition, lower_limit, sample_acquisition
from CPS4Core.phantom.anatomy import Anatomy, sample_anatomy
from CPS4Core.phantom.frame import SpineFrame
from CPS4Core.phantom.make import SMALLEST, render_phantom
from CPS4Core.schema import LabelSchema, built_in_schema

Array = np.ndarray

RECIPE = 2
"""Rises when the same seed gives another phantom than before."""

_T1 = {
    "fluid": 0.16, "cord": 0.40, "root": 0.36, "fat": 1.0, "epidural_fat": 0.95, "marrow": 0.58,
    "cortex": 0.06, "ligament": 0.09, "nucleus": 0.33, "worn_nucleus": 0.29, "annulus": 0.28,
    "muscle": 0.34, "bowel": 0.36, "vessel": 0.07, "skin": 0.5,
}  # fmt: skip
_FAT_SUPPRESSED = {
    "fluid": 1.0, "cord": 0.44, "root": 0.34, "fat": 0.12, "epidural_fat": 0.14, "marrow": 0.20,
    "cortex": 0.04, "ligament": 0.06, "nucleus": 0.75, "worn_nucleus": 0.16, "annulus": 0.11,
    "muscle": 0.24, "bowel": 0.42, "vessel": 0.07, "skin": 0.2,
}  # fmt: skip
_INVERTED = {name: 1.06 - value for name, value in T2.items()}
_SEQUENCES = (
    (0.64, T2), (0.12, _T1), (0.14, _FAT_SUPPRESSED), (0.05, _INVERTED), (0.05, None),
)  # fmt: skip


def make_varied_phantom(
    seed: int, schema: str | LabelSchema = "mrspineseg"
) -> tuple[sitk.Image, sitk.Image]:
    """A phantom whose kind is drawn, too; the same seed gives the same one.

    Image (int16) and label map as of `make_phantom`. Drawn: T2, T1-like, fat-suppressed, inverted
    and made-up contrast; pixels of 0.6 to 1.3 mm; slices 0.9 to 5 mm thick; lumbar and
    thoracolumbar views, views without sacrum and views of a few vertebrae; coil, noise, position;
    scoliosis, other lordosis, collapsed vertebrae, fused pairs, pedicle screws.
    """
    if isinstance(schema, str):
        schema = built_in_schema(schema)
    draws = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    worn = float(draws[4].uniform(0.45, 1)) if draws[4].random() < 0.45 else None
    anatomy = _altered(sample_anatomy(draws[0], worn), draws[4])
    frame = SpineFrame(anatomy)
    scan = _scan(anatomy, frame, draws[1], draws[5])
    return render_phantom(anatomy, frame, scan, draws[2], draws[3], schema)


def _altered(a: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Another posture for all; for some scoliosis, a collapsed body, a fused pair, screws."""
    turn = np.radians(np.clip(rng.normal(0, 7), -15, 15))
    scoliosis = rng.uniform(6, 20) if rng.random() < 0.18 else a.lateral_amplitude
    factor, concavity = np.ones(len(a.names)), a.concavity.copy()
    wear = a.degeneration.copy()
    lumbar = a.bodies[:8]
    if rng.random() < 0.12:
        factor[rng.choice(lumbar)] = rng.uniform(0.55, 0.8)
    if rng.random() < 0.1:
        disc = int(rng.choice(lumbar[:6])) - 1
        factor[disc], wear[disc] = rng.uniform(0.2, 0.4), 1.0
        concavity[disc : disc + 2] *= 0.2
    screws: tuple[int, ...] = ()
    if rng.random() < 0.07:
        first = int(rng.integers(4))
        screws = tuple(lumbar[first : first + int(rng.integers(2, 4))])
    edges = a.edges[0] + np.concatenate([[0], np.cumsum(a.heights * factor)])
    l1 = a.names.index("L1")
    return replace(
        a,
        edges=edges,
        degeneration=wear,
        concavity=concavity,
        screws=screws,
        conus=a.conus + float(edges[l1] - a.edges[l1]),
        sacral_slope=a.sacral_slope + turn,
        lower_lordosis=a.lower_lordosis + 0.75 * turn,
        sacral_kyphosis=np.radians(rng.uniform(20, 75)),
        thoracic_kyphosis=a.thoracic_kyphosis * rng.uniform(0.5, 1.4),
        lateral_amplitude=scoliosis,
        lateral_tilt=a.lateral_tilt * rng.uniform(1, 3),
    )


def _scan(
    anatomy: Anatomy, frame: SpineFrame, drawn: np.random.Generator, rng: np.random.Generator
) -> Acquisition:
    sees_sacrum, bottom, height = _view(anatomy, frame, rng)
    spacing = rng.uniform(0.6, 1.3)
    rows = max(SMALLEST, round(height / spacing))
    width = max(height * rng.uniform(0.6, 1.0), 140)
    cols = max(SMALLEST, round(width / spacing))
    top = bottom + rows * spacing
    seen = (frame.z > bottom) & (frame.z < top)
    centre = (frame.y[seen].min() + frame.y[seen].max()) / 2
    thin = rng.random() < 0.45
    count = int(rng.integers(7, 11) if thin else rng.integers(9, 14))
    # A thin scan has more slices than are drawn here: neighbours teach little.
    between = rng.uniform(1.5, 4.0) if thin else rng.uniform(3.3, 5.5)
    scan = sample_acquisition(
        drawn,
        anatomy,
        frame,
        rows,
        cols,
        count,
        sacrum_visible=sees_sacrum,
        contrast=1.6,
        noise=float(rng.uniform(0.3, 2.2)),
        bias=float(rng.uniform(0.2, 1.6)),
    )
    return replace(
        scan,
        spacing=spacing,
        slice_spacing=between,
        thickness=rng.uniform(0.9, 1.5) if thin else 0.9 * between,
        middle=float(np.mean(frame.sideways(frame.s[seen]))) + rng.normal(0, 4),
        top=top,
        front=centre - rng.uniform(0.42, 0.6) * cols * spacing,
        tissues=_tissues(scan.tissues, rng),
        coil_reach=float(rng.uniform(28, 120)),
        coil_length=float(rng.uniform(0.4, 0.9)) * height,
        saturation=float(rng.uniform(0.15, 0.7)) if rng.random() < 0.35 else 1.0,
        saturation_gap=float(rng.uniform(28, 60)),
    )


def _view(
    anatomy: Anatomy, frame: SpineFrame, rng: np.random.Generator
) -> tuple[bool, float, float]:
    """Whether the sacrum is in view, the lower limit and the height of the view in mm."""
    kind, place = rng.random(), rng.random()
    if kind < 0.56:  # lumbar
        return True, float(rng.uniform(-90, -25)), float(rng.uniform(230, 350))
    if kind < 0.70:  # thoracolumbar
        return True, float(rng.uniform(-105, -10)), float(rng.uniform(330, 430))
    if kind < 0.86:
        return False, lower_limit(anatomy, frame, False, place), float(rng.uniform(180, 340))
    # A few vertebrae, cut anywhere.
    return True, -70 + 200 * place, float(rng.uniform(110, 210))


def _tissues(drawn: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """The drawn T2 signals, carried over to another sequence."""
    shares = [share for share, _ in _SEQUENCES]
    sequence = _SEQUENCES[int(rng.choice(len(shares), p=shares))][1]
    if sequence is None:
        levels = rng.uniform(0.08, 1.0, len(T2))
        sequence = dict(zip(sorted(T2), levels.tolist(), strict=True)) | {"cortex": 0.06}
    return {name: sequence[name] * drawn[name] / T2[name] for name in sorted(T2)}
