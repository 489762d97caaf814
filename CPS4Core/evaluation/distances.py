"""Surface distances in millimetres, by MONAI: HD95, ASSD and NSD, in 3D and within each slice.

HD95 and ASSD take the border voxels of both shapes, as MONAI and medpy do: the larger of the two
directed 95th percentiles, and the mean over both borders together. NSD (surface Dice at a
tolerance) weighs each piece of surface by its area, after Nikolov et al., arXiv:1809.04430.

A class that only one side has gets NSD 0 and no HD95 or ASSD, which would be infinite: read these
together with the counts of missed and spurious classes. Ignored voxels are taken out of both sides
before surfaces are drawn, so a shape ends where the ignored region begins, on both sides alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import IGNORE_INDEX

DEFAULT_TOLERANCES = (1.0, 2.0)
"""Tolerances of the NSD in mm."""

IN_PLANE = "_2d"
"""What the names of in-plane distances end in."""


def distance_names(tolerances: Sequence[float]) -> list[str]:
    """Names of the 3D measures: hd95, assd and one nsd for each tolerance in mm."""
    return ["hd95", "assd", *(f"nsd_{t:g}mm" for t in tolerances)]


def class_distances(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    tolerances: Sequence[float] = DEFAULT_TOLERANCES,
) -> dict[int, dict[str, float]]:
    """Distances of each class that truth or prediction has, in 3D and in-plane.

    Parameters
    ----------
    prediction, truth: class indices [slices, rows, cols].
    spacing: (slice, row, col) in mm.
    tolerances: of the NSD, in mm.

    Returns {class index: {name: value}}; names are `distance_names` in 3D, and the same ending in
    `_2d` for the mean over the slices that have the class. Undefined distances are NaN.
    """
    prediction, truth = without_ignored(prediction, truth)
    found: dict[int, dict[str, float]] = {}
    for index, predicted, true in _cropped_classes(prediction, truth):
        values = shape_distances(predicted, true, spacing, tolerances)
        slices = [
            shape_distances(predicted[s], true[s], spacing[1:], tolerances)
            for s in range(len(true))
            if predicted[s].any() or true[s].any()
        ]
        for name in distance_names(tolerances):
            per_slice = [v for v in (s[name] for s in slices) if np.isfinite(v)]
            values[name + IN_PLANE] = float(np.mean(per_slice)) if per_slice else float("nan")
        found[index] = values
    return found


def shape_distances(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    tolerances: Sequence[float] = DEFAULT_TOLERANCES,
) -> dict[str, float]:
    """`distance_names` of two boolean masks in 2D or 3D, of which at least one is not empty.

    `spacing` in mm has a value for each axis.
    """
    if not (prediction.any() and truth.any()):
        nowhere = dict.fromkeys(distance_names(tolerances), 0.0)
        return nowhere | {"hd95": float("nan"), "assd": float("nan")}
    # A margin of background, without which a surface at the crop's edge would be lost.
    prediction, truth = np.pad(prediction, 1), np.pad(truth, 1)
    metrics, torch = _monai()
    borders = metrics.get_mask_edges(prediction, truth, crop=False)
    there, back = _both_ways(metrics, borders[0], borders[1], spacing)
    values = {
        "hd95": float(max(np.percentile(there, 95), np.percentile(back, 95))),
        "assd": float(np.concatenate([there, back]).mean()),
    }
    predicted, true, *areas = (
        part.numpy()
        for part in metrics.get_mask_edges(
            torch.from_numpy(prediction), torch.from_numpy(truth), crop=False, spacing=spacing
        )
    )
    distances = np.concatenate(_both_ways(metrics, predicted, true, spacing))
    weights = np.concatenate([areas[0][predicted], areas[1][true]]).astype(np.float64)
    for tolerance in tolerances:
        near = weights[distances <= tolerance].sum() / weights.sum()
        values[f"nsd_{tolerance:g}mm"] = float(near)
    return values


def without_ignored(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Copies in which ignored voxels are background on both sides, and nothing is predicted so."""
    ignored = truth == IGNORE_INDEX
    return (
        np.where(ignored | (prediction == IGNORE_INDEX), 0, prediction).astype(np.uint8),
        np.where(ignored, 0, truth).astype(np.uint8),
    )


def _cropped_classes(
    prediction: np.ndarray, truth: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(class index, predicted mask, true mask) of each class, cropped to the box around both."""
    from scipy.ndimage import find_objects

    boxes = [find_objects(array) for array in (prediction, truth)]
    for number in range(max(len(b) for b in boxes)):
        own = [b[number] for b in boxes if number < len(b) and b[number] is not None]
        if own:
            box = tuple(
                slice(min(s.start for s in axis), max(s.stop for s in axis))
                for axis in zip(*own, strict=True)
            )
            yield number + 1, prediction[box] == number + 1, truth[box] == number + 1


def _both_ways(
    metrics: Any, first: np.ndarray, second: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each edge voxel of one mask to the other's nearest, and the reverse."""
    return (
        metrics.get_surface_distance(first, second, spacing=tuple(spacing)),
        metrics.get_surface_distance(second, first, spacing=tuple(spacing)),
    )


def _monai() -> tuple[Any, Any]:
    try:
        import torch
        from monai import metrics
    except ImportError as error:
        raise CPS4Error(
            f"Surface distances need the package MONAI ({error})",
            cure="Install it with: pip install monai; or use --no-distances",
        ) from error
    return metrics, torch
