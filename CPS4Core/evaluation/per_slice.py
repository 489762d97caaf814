"""Scores as the paper's authors validate, so that numbers can be set beside theirs.

Each sagittal slice is scored by itself with the background as one of the classes; Dice leaves out
classes that neither truth nor prediction has, IoU those that the truth lacks, whatever was
predicted. Means go over classes, then slices. The background and the lenient IoU lift both numbers.
"""

from __future__ import annotations

import numpy as np


def per_slice_overlap(confusions: np.ndarray) -> dict[str, float]:
    """{"dice": ..., "iou": ...} from confusion matrices [S, K, K]; NaN if no slice has voxels."""
    shared = np.diagonal(confusions, axis1=1, axis2=2).astype(float)
    true, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    union = true + predicted - shared
    with np.errstate(invalid="ignore"):
        dice = np.where(true + predicted > 0, 2 * shared / (true + predicted), np.nan)
        iou = np.where(true > 0, shared / union, np.nan)
    counted = true.sum(axis=1) > 0
    if not counted.any():
        return {"dice": float("nan"), "iou": float("nan")}
    return {
        "dice": float(np.nanmean(dice[counted], axis=1).mean()),
        "iou": float(np.nanmean(iou[counted], axis=1).mean()),
    }
