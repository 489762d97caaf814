"""Dice and IoU by nnU-Net's rule, from one confusion matrix.

Foreground classes only. A class absent from truth and prediction is left out; one that only one of
them has counts 0. Voxels whose truth is IGNORE_INDEX do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import IGNORE_INDEX


def slice_confusions(prediction: np.ndarray, truth: np.ndarray, class_count: int) -> np.ndarray:
    """Voxel counts [S, K, K] by (slice, true class, predicted class); ignored voxels left out.

    Parameters
    ----------
    prediction, truth: class indices [S, ...] of one shape. A predicted IGNORE_INDEX is background.
    class_count: K, the background included.

    Raises CPS4Error where the shapes differ or an index is K or more.
    """
    if prediction.shape != truth.shape:
        raise CPS4Error(
            f"Prediction and truth differ in shape: {prediction.shape} and {truth.shape}"
        )
    counts = np.zeros((len(truth), 256, 256), dtype=np.int64)
    # Slice by slice the arrays stay in the processor's cache: several times faster than at once.
    for s in range(len(truth)):
        pairs = _as_bytes(truth[s]).astype(np.uint16) << 8 | _as_bytes(prediction[s])
        counts[s] = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
    counts[:, :, 0] += counts[:, :, IGNORE_INDEX]
    counts[:, :, IGNORE_INDEX] = 0
    counts[:, IGNORE_INDEX] = 0
    known = counts[:, :class_count, :class_count]
    if known.sum() != counts.sum():
        raise CPS4Error(f"Class indices of {class_count} or more in prediction or truth")
    return known.copy()


def confusion_matrix(prediction: np.ndarray, truth: np.ndarray, class_count: int) -> np.ndarray:
    """Voxel counts [K, K] by (true class, predicted class); see `slice_confusions`."""
    return slice_confusions(prediction, truth, class_count).sum(axis=0)


def overlap_of(confusion: np.ndarray) -> dict[str, dict[int, float]]:
    """{"dice": {class index: value}, "iou": ...} of the foreground of a confusion matrix [K, K]."""
    shared = np.diag(confusion)
    sizes = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = [int(c) for c in np.flatnonzero(sizes) if c > 0]
    return {
        "dice": {c: float(2 * shared[c] / sizes[c]) for c in present},
        "iou": {c: float(shared[c] / (sizes[c] - shared[c])) for c in present},
    }


def case_overlap(
    prediction: np.ndarray, truth: np.ndarray, class_count: int
) -> dict[str, dict[int, float]]:
    """Dice and IoU of one case by class index, without the classes that neither side has.

    Parameters: as `slice_confusions`. Returns {"dice": {class index: value}, "iou": {...}}.
    """
    return overlap_of(confusion_matrix(prediction, truth, class_count))


def mean_over_classes(scores: Mapping[int, float], classes: Iterable[int] | None = None) -> float:
    """Mean of the finite scores of `classes` (all by default); NaN where there is none."""
    wanted = scores.keys() if classes is None else set(classes)
    values = [v for c, v in scores.items() if c in wanted and np.isfinite(v)]
    return float(np.mean(values)) if values else float("nan")


def _as_bytes(indices: np.ndarray) -> np.ndarray:
    if indices.dtype == np.uint8:
        return indices
    if indices.size and (indices.min() < 0 or indices.max() > IGNORE_INDEX):
        raise CPS4Error(f"Class indices outside 0..{IGNORE_INDEX}")
    return indices.astype(np.uint8)
