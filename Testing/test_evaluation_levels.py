"""Shape apart from numbering: identification, level accuracy and the best shift."""

from __future__ import annotations

import numpy as np
import pytest

from CPS4Core.evaluation.case import Settings, evaluate_case
from CPS4Core.evaluation.levels import best_shift, identified_levels, level_accuracy, merged_dice
from CPS4Core.evaluation.overlap import confusion_matrix
from CPS4Core.schema import built_in_schema

SCHEMA = built_in_schema("mrspineseg")
COLUMN = ("L5/S", "L5", "L4/L5", "L4", "L3/L4", "L3")


def spine(*names: str, voxels: int = 10) -> np.ndarray:
    """One slice with a row of `voxels` for each name."""
    indices = [SCHEMA.index_of(n) if n else 0 for n in names]
    return np.repeat(np.array(indices, dtype=np.uint8)[:, None], voxels, axis=1)[None]


def confusion(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return confusion_matrix(prediction, truth, SCHEMA.class_count)


ONE_UP = ("L4/L5", "L4", "L3/L4", "L3", "L2/L3", "L2")
TWO_DOWN = ("", "", "", "S", "L5/S", "L5")


@pytest.mark.parametrize(
    ("predicted", "levels", "dice_after", "right"),
    [
        (COLUMN, 0, 1.0, 1.0),
        (ONE_UP, -1, 1.0, 0.0),
        # Three of six structures are lost below the sacrum; the other three are right after it.
        (TWO_DOWN, 2, 0.5, 0.0),
    ],
)
def test_shifted_levels(
    predicted: tuple[str, ...], levels: int, dice_after: float, right: float
) -> None:
    counts = confusion(spine(*predicted), spine(*COLUMN))
    shift = best_shift(counts, SCHEMA)
    assert (shift.levels, shift.dice) == (levels, pytest.approx(dice_after))
    found = identified_levels(counts, SCHEMA)
    assert len(found) == 6
    assert np.mean(list(found.values())) == right
    assert level_accuracy(counts, SCHEMA, ["vertebra", "disc"]) == right


def test_shape_ignores_the_numbers() -> None:
    counts = confusion(spine(*ONE_UP), spine(*COLUMN))
    assert merged_dice(counts, SCHEMA.indices_of_kind("vertebra")) == 1.0
    assert merged_dice(counts, SCHEMA.indices_of_kind("disc")) == 1.0
    empty = confusion(spine(""), spine(""))
    assert np.isnan(merged_dice(empty, SCHEMA.indices_of_kind("disc")))


def test_level_accuracy_counts_only_the_right_tissue() -> None:
    # Of the vertebra's 4 voxels: 2 right, 1 another level, 1 taken for a disc; the disc is lost.
    truth = spine("L4", voxels=5)
    truth[0, 0, 4] = SCHEMA.index_of("L4/L5")
    prediction = truth.copy()
    prediction[0, 0] = [SCHEMA.index_of(n) for n in ("L4", "L4", "L3", "L3/L4")] + [0]
    counts = confusion(prediction, truth)
    assert level_accuracy(counts, SCHEMA, ["vertebra"]) == pytest.approx(2 / 3)
    assert np.isnan(level_accuracy(counts, SCHEMA, ["disc"]))


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        (["L4"] * 10, True),
        (["L4"] * 2 + [""] * 8, True),  # background does not compete
        (["L4"] * 6 + ["L3"] * 4, True),
        (["L4"] * 5 + ["L3"] * 5, False),  # a draw
        (["L4"] * 4 + ["L3"] * 6, False),
        ([""] * 10, False),
        (["L4"] + [""] * 19, False),  # 5 % is less than the least share
    ],
)
def test_identification_of_one_level(inside: list[str], found: bool) -> None:
    truth = spine(*["L4"] * len(inside), voxels=1)
    counts = confusion(spine(*inside, voxels=1), truth)
    assert identified_levels(counts, SCHEMA) == {SCHEMA.index_of("L4"): found}


def test_a_case_as_a_whole() -> None:
    truth = spine(*COLUMN, "T10")
    prediction = spine(*COLUMN[:-1], "", "T10/T11")
    scores = evaluate_case(
        "one", prediction, truth, (1.0, 1.0, 1.0), SCHEMA, Settings(distances=False)
    )
    got = scores.measures
    # Five of seven true classes are found; L3 and T10 are missed and T10/T11 is invented.
    assert got["dice"] == pytest.approx(5 / 8)
    assert got["dice_vertebrae"] == pytest.approx(2 / 4)
    assert got["dice_discs"] == pytest.approx(3 / 4)
    assert got["dice_without_rare"] == pytest.approx(5 / 6)
    assert got["level_identification"] == pytest.approx(5 / 7)
    assert got["every_level_right"] == 0
    assert (got["missed"], got["spurious"]) == (2, 1)
    assert scores.classes[SCHEMA.index_of("T10")]["named_as"] == "T10/T11"
    assert scores.classes[SCHEMA.index_of("L3")]["outcome"] == "missed"
    assert scores.classes[SCHEMA.index_of("L5")]["identified"] is True
    assert scores.classes[SCHEMA.index_of("T10/T11")]["identified"] is None
