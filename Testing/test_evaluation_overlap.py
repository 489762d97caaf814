"""Dice and IoU by the metric rule, on values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.overlap import case_overlap, mean_over_classes, slice_confusions
from CPS4Core.evaluation.per_slice import per_slice_overlap
from CPS4Core.schema import IGNORE_INDEX

X = IGNORE_INDEX


def row(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("name", "prediction", "truth", "dice", "iou"),
    [
        ("empty in both", row(0, 0), row(0, 0), {}, {}),
        ("perfect", row(1, 2), row(1, 2), {1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0}),
        ("only predicted", row(3, 0), row(0, 0), {3: 0.0}, {3: 0.0}),
        ("only true", row(0, 0), row(3, 0), {3: 0.0}, {3: 0.0}),
        ("partly", row(1, 1, 1, 0), row(1, 1, 0, 1), {1: 4 / 6}, {1: 2 / 4}),
        ("ignored", row(1, 1, 2, 0), row(1, 1, X, X), {1: 1.0}, {1: 1.0}),
        ("all ignored", row(1, 2), row(X, X), {}, {}),
        ("predicted ignore is background", row(1, X), row(1, 1), {1: 2 / 3}, {1: 1 / 2}),
        (
            "mixed",
            row(1, 1, 1, 2, 2, 2, 3, 0, 1, 1),
            row(1, 1, 1, 1, 2, 2, 0, 0, X, X),
            {1: 6 / 7, 2: 4 / 5, 3: 0.0},
            {1: 3 / 4, 2: 2 / 3, 3: 0.0},
        ),
    ],
)
def test_values_by_hand(
    name: str,
    prediction: np.ndarray,
    truth: np.ndarray,
    dice: dict[int, float],
    iou: dict[int, float],
) -> None:
    found = case_overlap(prediction, truth, class_count=5)
    assert found["dice"] == pytest.approx(dice), name
    assert found["iou"] == pytest.approx(iou), name


def test_agrees_with_counting_sets_of_voxels() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 6, (4, 20, 30)).astype(np.uint8)
    prediction = np.where(
        random.random(truth.shape) < 0.6, truth, random.integers(0, 6, truth.shape)
    )
    truth[random.random(truth.shape) < 0.1] = X
    found = case_overlap(prediction, truth, class_count=6)
    for c in range(1, 6):
        predicted = {tuple(v) for v in np.argwhere((prediction == c) & (truth != X))}
        true = {tuple(v) for v in np.argwhere(truth == c)}
        both = len(predicted & true)
        assert found["dice"][c] == pytest.approx(2 * both / (len(predicted) + len(true)))
        assert found["iou"][c] == pytest.approx(both / len(predicted | true))


def test_mean_over_classes() -> None:
    scores = {1: 0.5, 2: 1.0, 4: float("nan")}
    assert mean_over_classes(scores) == 0.75
    assert mean_over_classes(scores, [2, 3, 4]) == 1.0
    assert np.isnan(mean_over_classes(scores, [3, 4]))
    assert np.isnan(mean_over_classes({}))


@pytest.mark.parametrize(
    ("prediction", "truth", "words"),
    [
        (row(0, 1), row(0, 1, 1), "shape"),
        (row(0, 5), row(0, 1), "5 or more"),
        (row(0, 1).astype(np.int32) + 300, row(0, 1), "outside"),
    ],
)
def test_refuses_what_does_not_fit(prediction: np.ndarray, truth: np.ndarray, words: str) -> None:
    with pytest.raises(CPS4Error, match=words):
        case_overlap(prediction, truth, class_count=5)


def test_per_slice_counts_the_background_and_forgives_the_iou() -> None:
    truth = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[X, X, X, X]]], dtype=np.uint8)
    prediction = np.array([[[0, 1, 1, 1]], [[0, 0, 0, 2]], [[1, 1, 1, 1]]], dtype=np.uint8)
    found = per_slice_overlap(slice_confusions(prediction, truth, class_count=3))
    # Slice 1: background 2/3 and 1/2, class one 4/5 and 2/3. Slice 2: background 6/7 and 3/4, class
    # two Dice 0, in the IoU not counted. Slice 3 is ignored altogether.
    assert found["dice"] == pytest.approx(((2 / 3 + 4 / 5) / 2 + (6 / 7 + 0) / 2) / 2)
    assert found["iou"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 3 / 4) / 2)
