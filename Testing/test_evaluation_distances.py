"""Surface distances in mm: by hand, beside MONAI's own functions, and the rule for empty sides."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.distances import class_distances, shape_distances
from CPS4Core.schema import IGNORE_INDEX

NAN = float("nan")


def mask(shape: tuple[int, ...], *voxels: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        out[voxel] = True
    return out


@pytest.mark.parametrize(
    ("predicted", "spacing", "hd95", "assd"),
    [
        ([(1, 2, 2)], (5.0, 2.0, 0.5), 0.0, 0.0),
        ([(2, 2, 2)], (5.0, 2.0, 0.5), 5.0, 5.0),
        ([(1, 4, 2)], (5.0, 2.0, 0.5), 4.0, 4.0),
        ([(1, 2, 0)], (5.0, 2.0, 0.5), 1.0, 1.0),
        ([(2, 4, 2)], (3.0, 2.0, 0.5), 5.0, 5.0),
        # Distances 0 and 3 one way, 0 back: the 95th percentile of (0, 3) is 2.85, the mean 3 / 3.
        ([(1, 2, 2), (2, 2, 2)], (3.0, 2.0, 0.5), 2.85, 1.0),
    ],
)
def test_distances_by_hand(
    predicted: list[tuple[int, ...]], spacing: tuple[float, ...], hd95: float, assd: float
) -> None:
    found = shape_distances(mask((4, 6, 5), *predicted), mask((4, 6, 5), (1, 2, 2)), spacing)
    assert found["hd95"] == pytest.approx(hd95)
    assert found["assd"] == pytest.approx(assd)


def test_surface_dice_weighs_by_length() -> None:
    # Pixels of 4 x 3 mm. A lone pixel has four corners of half a diagonal, 2.5 mm each; two pixels
    # side by side have four corners and two straight pieces of 3 mm, of which the far corners are
    # 3 mm from the lone pixel's contour.
    found = shape_distances(
        mask((3, 4), (1, 1), (1, 2)), mask((3, 4), (1, 1)), (4.0, 3.0), (1.0, 3.5)
    )
    assert found["nsd_1mm"] == pytest.approx((10 + 11) / (10 + 16))
    assert found["nsd_3.5mm"] == pytest.approx(1.0)


def test_agrees_with_monai() -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    grid = np.indices((9, 24, 20)).astype(float)
    true = sum((grid[a] - c) ** 2 / r**2 for a, (c, r) in enumerate([(4, 3), (12, 8), (9, 5)])) < 1
    predicted = np.roll(true, (1, 2, -1), (0, 1, 2))
    spacing = (4.4, 0.6, 0.8)
    given = [torch.from_numpy(m[None, None].astype(np.float32)) for m in (predicted, true)]
    found = shape_distances(predicted, true, spacing, (1.0,))
    common = {"include_background": True, "spacing": spacing}
    expected = {
        "hd95": metrics.compute_hausdorff_distance(*given, percentile=95, **common),
        "assd": metrics.compute_average_surface_distance(*given, symmetric=True, **common),
        "nsd_1mm": metrics.compute_surface_dice(*given, [1.0], use_subvoxels=True, **common),
    }
    assert found == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-5)
    assert 0 < found["nsd_1mm"] < 1


def test_one_empty_side_has_no_distance_but_a_surface_dice_of_zero() -> None:
    truth = np.zeros((2, 4, 4), dtype=np.uint8)
    prediction = truth.copy()
    truth[0, 1, 1], prediction[1, 2, 2] = 1, 3
    found = class_distances(prediction, truth, (1.0, 1.0, 1.0))
    assert set(found) == {1, 3}
    for values in found.values():
        assert values == pytest.approx(
            {"hd95": NAN, "assd": NAN, "nsd_1mm": 0, "nsd_2mm": 0}
            | {"hd95_2d": NAN, "assd_2d": NAN, "nsd_1mm_2d": 0, "nsd_2mm_2d": 0},
            nan_ok=True,
        )


def test_in_plane_is_the_mean_over_slices() -> None:
    truth = np.zeros((4, 6, 6), dtype=np.uint8)
    prediction = truth.copy()
    truth[:3, 2, 2] = 1
    prediction[0, 2, 2] = prediction[1, 4, 2] = prediction[3, 2, 2] = 1
    found = class_distances(prediction, truth, (9.0, 0.7, 0.4))[1]
    # Slice 0 is right, 1 is 2 x 0.7 mm off, 2 is missed, 3 is invented.
    assert found["hd95_2d"] == found["assd_2d"] == pytest.approx(0.7)
    assert found["nsd_1mm_2d"] < found["nsd_2mm_2d"] == pytest.approx(2 / 4)


def test_ignored_voxels_belong_to_neither_shape() -> None:
    truth = np.zeros((1, 8, 8), dtype=np.uint8)
    truth[0, 2:4, 2:4] = 1
    truth[0, 2:4, 4:8] = IGNORE_INDEX
    prediction = np.zeros_like(truth)
    prediction[0, 2:4, 2:8] = 1
    assert class_distances(prediction, truth, (1.0, 1.0, 1.0))[1]["hd95"] == 0.0
    counted = np.where(truth == IGNORE_INDEX, 0, truth)
    assert class_distances(prediction, counted, (1.0, 1.0, 1.0))[1]["hd95"] > 3


def test_without_monai_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(CPS4Error, match="pip install monai"):
        shape_distances(mask((3, 3), (1, 1)), mask((3, 3), (1, 1)), (1.0, 1.0))
