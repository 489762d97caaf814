"""Level decoding where spines, views and networks are difficult, and where there is no spine."""

from __future__ import annotations

import numpy as np
import pytest
from level_samples import DISCS, SCHEMA, VERTEBRAE, Sample, decode, sample, soft, warned
from scipy.ndimage import gaussian_filter

from CPS4Core.levels import DecodedLevels, decode_levels


def surest(result: DecodedLevels) -> float:
    return max((s.confidence for s in result.structures), default=0.0)


def moved(spine: Sample, sideways_mm: np.ndarray, backwards_mm: np.ndarray) -> Sample:
    """Every row of a phantom moved: one curve for each direction."""
    truth = np.zeros_like(spine.truth)
    for r, (side, back) in enumerate(zip(sideways_mm, backwards_mm, strict=True)):
        by = (round(side / spine.spacing[0]), round(back / spine.spacing[2]))
        truth[:, r] = np.roll(spine.truth[:, r], by, (0, 1))
    return Sample(truth, soft(truth, SCHEMA.class_count), spine.spacing)


@pytest.fixture(scope="module")
def spine() -> Sample:
    return sample(3)


@pytest.fixture(scope="module")
def unlabelled_sacrum(spine: Sample) -> Sample:
    """As in SPIDER: the sacrum is in view and background."""
    truth = np.where(spine.truth == SCHEMA.index_of("S"), 0, spine.truth).astype(np.uint8)
    return Sample(truth, spine.renamed({"S": ""}).maps, spine.spacing)


def test_a_scoliotic_spine() -> None:
    thin = sample(3, slices=18)
    curve = 15 * np.sin(2 * np.pi * np.arange(thin.truth.shape[1]) / thin.truth.shape[1])
    bent = moved(thin, curve, np.zeros_like(curve))
    assert bent.right(decode(bent.renamed({"L4": "L1", "L2": "L5"})).labels) > 0.9


def test_a_steep_lumbosacral_angle(unlabelled_sacrum: Sample) -> None:
    """L5 and its disc run backwards at 45 degrees: the disc that anchors the count is found."""
    rows = np.arange(unlabelled_sacrum.truth.shape[1])
    below = np.maximum(rows - unlabelled_sacrum.rows_of("L4")[-1], 0) * unlabelled_sacrum.spacing[1]
    bent = moved(unlabelled_sacrum, np.zeros(len(rows)), 0.9 * below)
    result = decode(bent)
    assert result.structures[0].name == "L5/S" and result.structures[0].evidence > 0.5
    assert bent.right(result.labels) > 0.95


@pytest.mark.parametrize("metal", ["L3/L4", "L4"])
def test_a_metal_gap(spine: Sample, metal: str) -> None:
    """Nothing is seen for a structure and 6 mm on both sides of it."""
    gap, reach = spine.rows_of(metal), round(6 / spine.spacing[1])
    maps = spine.maps.copy()
    rows = slice(gap[0] - reach, gap[-1] + reach + 1)
    maps[:, :, rows] = 0
    maps[:, 0, rows] = 1
    result = decode_levels(maps, spine.spacing, SCHEMA)
    assert spine.right(result.labels) > 0.95
    assert any("Missing" in w and metal in w for w in result.warnings)


def test_bone_and_disc_in_the_bowel_are_no_levels(unlabelled_sacrum: Sample) -> None:
    """Below and in front of L5 the network sees another vertebra with its disc."""
    maps = unlabelled_sacrum.maps.copy()
    _, row_mm, col_mm = unlabelled_sacrum.spacing
    disc = np.argwhere(unlabelled_sacrum.truth == SCHEMA.index_of("L5/S"))
    top = int(disc[:, 1].max()) + round(12 / row_mm)
    front = int(np.median(disc[:, 2])) - round(45 / col_mm)
    for name, height in (("L5", 22), ("L5/S", 10)):
        bottom = top + round(height / row_mm)
        blob = (slice(top, bottom), slice(max(front, 0), front + round(30 / col_mm)))
        maps[:, :, blob[0], blob[1]] = 0
        maps[:, SCHEMA.index_of(name), blob[0], blob[1]] = 1
        top = bottom
    result = decode_levels(maps, unlabelled_sacrum.spacing, SCHEMA)
    assert unlabelled_sacrum.right(result.labels) > 0.95


def test_half_seen_upper_levels_are_named(unlabelled_sacrum: Sample) -> None:
    """Of the highest levels the network sees a third, without any name: one order names them."""
    maps = unlabelled_sacrum.maps.copy()
    end = int(unlabelled_sacrum.rows_of("T12")[0])
    top = maps[:, :, :end]
    for names in (VERTEBRAE[1:], DISCS):
        own = [SCHEMA.index_of(n) for n in names]
        total = top[:, own].sum(axis=1, keepdims=True)
        top[:, own] = 0.4 * total / len(own)
    top[:, 0] = 1 - top[:, 1:].sum(axis=1)
    assert not maps[:, :, :end].argmax(axis=1).any()
    result = decode_levels(maps, unlabelled_sacrum.spacing, SCHEMA)
    found = (result.labels[:, :end] > 0) & (unlabelled_sacrum.truth[:, :end] > 0)
    assert found.mean() > 0.3 * (unlabelled_sacrum.truth[:, :end] > 0).mean()
    assert unlabelled_sacrum.right(result.labels) > 0.9


def test_twelve_thick_slices_and_one_millimetre() -> None:
    thick = sample(7, slices=12)
    assert thick.right(decode(thick.renamed({"L4": "L2", "L2": "L4"})).labels) > 0.95
    row = round(thick.spacing[1])
    isotropic = Sample(
        np.repeat(np.repeat(thick.truth, 5, 0), row, 1).repeat(row, 2),
        np.repeat(np.repeat(thick.maps, 5, 0), row, 2).repeat(row, 3),
        (thick.spacing[0] / 5, thick.spacing[1] / row, thick.spacing[2] / row),
    )
    assert isotropic.right(decode(isotropic.renamed({"L4": "L2", "L2": "L4"})).labels) > 0.95


def test_six_lumbar_levels_are_told(spine: Sample) -> None:
    """From the second lowest vertebra on, all look like the level below: one more than usual."""
    looks = dict(zip(VERTEBRAE[2:], VERTEBRAE[1:-1], strict=True))
    looks |= dict(zip(DISCS[1:], DISCS[:-1], strict=True))
    result = decode(spine.renamed(looks))
    assert warned(result, "lumbar levels than usual")
    assert max(s.confidence for s in result.structures if s.name in VERTEBRAE[1:]) < 0.5


def test_a_doubled_level_is_told(spine: Sample) -> None:
    """A dark line through L3, as of a fracture: one level, and a warning."""
    rows = spine.rows_of("L3")
    middle, reach = int(rows.mean()), round(3 / spine.spacing[1])
    maps = spine.maps.copy()
    maps[:, :, middle - reach : middle + reach + 1] = 0
    maps[:, 0, middle - reach : middle + reach + 1] = 1
    result = decode_levels(maps, spine.spacing, SCHEMA)
    assert spine.right(result.labels) > 0.95
    assert any("Doubled" in w and "L3" in w for w in result.warnings)


def test_upside_down(unlabelled_sacrum: Sample) -> None:
    turned = Sample(
        unlabelled_sacrum.truth[:, ::-1],
        unlabelled_sacrum.maps[:, :, ::-1],
        unlabelled_sacrum.spacing,
    )
    result = decode(turned)
    assert result.warnings
    assert np.mean([s.confidence for s in result.structures]) < 0.4


@pytest.mark.parametrize("seed", range(3))
def test_soft_tissue_alone_is_not_certain(seed: int) -> None:
    """Blobs of bone and disc anywhere, as a network sees in a volume without a spine."""
    noise = np.random.default_rng(seed).standard_normal((12, SCHEMA.class_count, 120, 64))
    maps = np.exp(25 * gaussian_filter(noise, (1, 0, 4, 4)))
    maps[:, 0] *= 4
    maps /= maps.sum(axis=1, keepdims=True)
    result = decode_levels(maps.astype(np.float32), (4.4, 2.5, 2.5), SCHEMA)
    assert warned(result, "no spine")
    assert surest(result) < 0.3
