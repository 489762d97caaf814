"""Decoded levels of phantoms whose probabilities were spoiled."""

from __future__ import annotations

import numpy as np
import pytest
from level_samples import DISCS, SCHEMA, VERTEBRAE, Sample, decode, sample, soft, warned

from CPS4Core.errors import CPS4Error
from CPS4Core.levels import DecodedLevels, decode_levels


def confidence(result: DecodedLevels, name: str) -> float:
    return next(s.confidence for s in result.structures if s.name == name)


@pytest.fixture(scope="module")
def spine() -> Sample:
    return sample(3)


@pytest.fixture(scope="module")
def headless() -> Sample:
    return sample(4, sacrum_visible=False)


def test_a_good_prediction_stays_as_it_is(spine: Sample) -> None:
    result = decode(spine)
    raw = spine.maps.argmax(axis=1)
    assert spine.right(result.labels) > 0.97
    assert (result.labels == raw).mean() > 0.99
    assert [s.name for s in result.structures][:4] == ["S", "L5/S", "L5", "L4/L5"]
    assert confidence(result, "L3") > 0.8
    assert not warned(result, "anchor") and not warned(result, "Missing")


@pytest.mark.parametrize("seed", [0, 5])
def test_single_wrong_names_are_put_right(seed: int) -> None:
    spoiled = sample(seed).renamed({"L4": "L2", "L2": "L4", "T12": "L5", "L3/L4": "T12/L1"})
    assert spoiled.right(spoiled.maps.argmax(axis=1)) < 0.8
    assert spoiled.right(decode(spoiled).labels) > 0.95


def shifted(spine: Sample, unsure: float) -> Sample:
    """All names one level too high; `unsure` is the share that says nothing of the level."""
    upwards = dict(zip(VERTEBRAE[1:], [*VERTEBRAE[2:], ""], strict=True))
    upwards |= dict(zip(DISCS, [*DISCS[1:], ""], strict=True))
    moved = spine.renamed(upwards)
    for members in ([spine.index(n) for n in VERTEBRAE[1:]], [spine.index(n) for n in DISCS]):
        whole = spine.maps[:, members].sum(axis=1, keepdims=True) / len(members)
        moved.maps[:, members] = (1 - unsure) * moved.maps[:, members] + unsure * whole
    return moved


def test_shifted_names_of_an_unsure_network_are_recounted_from_the_sacrum(spine: Sample) -> None:
    spoiled = shifted(spine, unsure=0.9)
    assert spoiled.right(spoiled.maps.argmax(axis=1)) < 0.3
    result = decode(spoiled)
    assert spoiled.right(result.labels) > 0.95
    # All names against the count: less sure than with names that agree.
    assert confidence(result, "L3") < confidence(decode(spine), "L3") - 0.05


def test_a_sure_network_against_the_count_is_told_and_not_trusted(spine: Sample) -> None:
    result = decode(shifted(spine, unsure=0))
    assert warned(result, "Counted from the sacrum, levels would be 1 lower")
    assert confidence(result, "L3") < 0.5
    assert not warned(decode(spine), "Counted from the sacrum")


def test_blurred_and_unsure_probabilities_suffice() -> None:
    spoiled = sample(6, blur=2.0, certain=0.65)
    assert spoiled.right(decode(spoiled).labels) > 0.9


def test_a_missing_vertebra_is_counted_and_named(spine: Sample) -> None:
    result = decode(spine.renamed({"L3": ""}))
    assert spine.right(result.labels) > 0.95
    assert any("Missing" in w and "L3" in w for w in result.warnings)
    assert confidence(result, "L3") < 0.3 < confidence(result, "L5")


def test_a_missing_stretch_of_two_levels_is_bridged(spine: Sample) -> None:
    result = decode(spine.renamed({"L3": "", "L3/L4": "", "L2/L3": "", "L2": ""}))
    assert spine.right(result.labels) > 0.95


def test_a_fused_pair_is_two_levels(spine: Sample) -> None:
    result = decode(spine.renamed({"L3": "L4", "L3/L4": "L4"}))
    names = [s.name for s in result.structures]
    assert {"L4", "L3"} <= set(names)
    assert spine.right(result.labels) > 0.9
    assert any("Merged" in w and "L3/L4" in w for w in result.warnings)


def test_a_vertebra_in_fat_is_removed(spine: Sample) -> None:
    maps, rows = spine.maps.copy(), spine.rows_of("L3")
    tall = slice(rows[0] - 15, rows[-1] + 15)
    maps[:, :, tall, -8:] = 0
    maps[:, SCHEMA.index_of("L3"), tall, -8:] = 1
    result = decode_levels(maps, spine.spacing, SCHEMA)
    assert spine.right(result.labels) > 0.95
    assert not result.labels[:, tall, -8:].any()


def test_a_hidden_sacrum_is_told_and_costs_confidence(headless: Sample) -> None:
    result = decode(headless)
    assert headless.right(result.labels) > 0.95
    assert warned(result, "Level anchor not visible")
    assert max(s.confidence for s in result.structures) <= 0.5


def test_a_hidden_sacrum_and_shifted_names_are_not_certain(headless: Sample) -> None:
    names = dict(zip(VERTEBRAE[1:], [*VERTEBRAE[2:], ""], strict=True))
    names |= dict(zip(DISCS, [*DISCS[1:], ""], strict=True))
    result = decode(headless.renamed(names))
    assert warned(result, "Level anchor not visible")
    assert max(s.confidence for s in result.structures) <= 0.5


@pytest.mark.parametrize("part", ["upper", "lower"])
def test_partial_views(spine: Sample, part: str) -> None:
    at = int(spine.rows_of("L2").mean())
    view = spine.cropped(slice(0, at) if part == "upper" else slice(at, None))
    result = decode(view)
    assert view.right(result.labels) > 0.95
    assert warned(result, "anchor") == (part == "upper")


def test_a_piece_at_the_border_is_one_structure(spine: Sample) -> None:
    """12 mm of T11's body are in view, and to the network their upper part looks like T10."""
    top, upper = (round(mm / spine.spacing[1]) for mm in (12, 8))
    view = spine.cropped(slice(int(spine.rows_of("T11/T12")[0]) - top, None))
    maps, names = view.maps.copy(), [spine.index("T10"), spine.index("T11")]
    maps[:, names, :upper] = maps[:, names[::-1], :upper]
    result = decode_levels(maps, spine.spacing, SCHEMA)
    assert [s.name for s in result.structures][-2:] == ["T11/T12", "T11"]
    assert view.right(result.labels) > 0.97


def without_names(maps: np.ndarray) -> np.ndarray:
    """The same tissues with every level equally likely."""
    maps = maps.copy()
    for names in (VERTEBRAE[1:], DISCS):
        levels = [SCHEMA.index_of(n) for n in names]
        maps[:, levels] = maps[:, levels].mean(axis=1, keepdims=True)
    return maps


def test_padding_below_the_image_is_no_end_of_the_column(spine: Sample) -> None:
    """Cut below L1/L2, then padded: that disc must not be taken for L5/S with confidence."""
    at = int(spine.rows_of("L1/L2")[-1]) + 1
    maps = np.zeros_like(spine.maps)
    maps[:, 0] = 1
    maps[:, :, :at] = without_names(spine.maps[:, :, :at])
    cut = decode_levels(maps, spine.spacing, SCHEMA, content=(0, 0, at, maps.shape[3]))
    ends = decode_levels(maps, spine.spacing, SCHEMA)
    assert ends.structures[0].name == "L5/S" and confidence(ends, "L5") > 0.5
    assert max(s.confidence for s in cut.structures) < 0.2


def test_extra_evidence_names_a_view_without_names(spine: Sample) -> None:
    view = spine.cropped(slice(0, int(spine.rows_of("L2").mean())))
    unnamed = without_names(view.maps)
    alone = decode_levels(unnamed, view.spacing, SCHEMA)
    helped = decode_levels(unnamed, view.spacing, SCHEMA, extra=view.maps)
    assert view.right(helped.labels) > 0.92
    assert max(s.confidence for s in alone.structures) < 0.2


def test_more_vertebrae_than_names(spine: Sample) -> None:
    """All of the column looks like L5 or a disc: counting runs out of names, and says so."""
    small = SCHEMA.__class__(
        "lumbar", tuple(s for s in SCHEMA.structures if s.order is not None and s.order <= 8)
    )
    kept = {s.name: i for i, s in enumerate(small.structures, 1)}
    truth = np.zeros_like(spine.truth)
    shape = np.zeros_like(spine.truth)
    for name in VERTEBRAE + DISCS:
        own = spine.truth == SCHEMA.index_of(name)
        truth[own] = kept.get(name, 0)
        shape[own] = kept.get(name, kept["L2" if name in VERTEBRAE else "L2/L3"])
    case = Sample(truth, soft(shape, small.class_count), spine.spacing, small)
    result = decode(case)
    assert warned(result, "more vertebrae above L2")
    assert case.right(result.labels) > 0.95
    beyond = spine.rows_of("T12")
    assert not result.labels[:, : beyond[0]].any()


def test_one_slice_and_one_vertebra(spine: Sample) -> None:
    middle = len(spine.truth) // 2
    single = Sample(
        spine.truth[middle : middle + 1], spine.maps[middle : middle + 1], spine.spacing
    )
    assert single.right(decode(single).labels) > 0.95
    others = {n: "" for n in VERTEBRAE + DISCS if n != "L3"}
    result = decode(spine.renamed(others))
    assert result.warnings
    assert max((s.confidence for s in result.structures), default=0) < 0.5


def test_thin_slices(spine: Sample) -> None:
    thin = Sample(
        np.repeat(spine.truth, 4, axis=0),
        np.repeat(spine.maps, 4, axis=0),
        (spine.spacing[0] / 4, *spine.spacing[1:]),
    )
    spoiled = thin.renamed({"L4": "L2", "L2": "L4"})
    assert spoiled.right(decode(spoiled).labels) > 0.95


def test_a_deformed_spine(spine: Sample) -> None:
    """Every row moved sideways and back: a curve of 25 mm over the field of view."""
    truth = spine.truth.copy()
    for r in range(truth.shape[1]):
        bend = np.sin(2 * np.pi * r / truth.shape[1]) * 25
        truth[:, r] = np.roll(
            truth[:, r],
            (round(bend / spine.spacing[0]), round(bend / 2 / spine.spacing[2])),
            (0, 1),
        )
    bent = Sample(truth, soft(truth, SCHEMA.class_count), spine.spacing)
    assert bent.right(decode(bent.renamed({"L4": "L1", "L2": "L5"})).labels) > 0.85


def test_nothing_there() -> None:
    maps = np.zeros((5, SCHEMA.class_count, 64, 48), np.float32)
    maps[:, 0] = 1
    result = decode_levels(maps, (4.4, 2.0, 2.0), SCHEMA)
    assert not result.labels.any() and not result.structures
    assert result.warnings == ["No column of vertebrae and discs was found"]


def test_noise_is_not_certain() -> None:
    noise = np.random.default_rng(0).random((6, SCHEMA.class_count, 96, 48)).astype(np.float16)
    result = decode_levels(noise / noise.sum(axis=1, keepdims=True), (4.4, 3.0, 3.0), SCHEMA)
    assert result.warnings
    assert max((s.confidence for s in result.structures), default=0) < 0.5


def test_wrong_shapes_are_refused(spine: Sample) -> None:
    with pytest.raises(CPS4Error, match="20 classes"):
        decode_levels(spine.maps[:, :5], spine.spacing, SCHEMA)
    with pytest.raises(CPS4Error, match="Extra"):
        decode_levels(spine.maps, spine.spacing, SCHEMA, extra=spine.maps[:1])
