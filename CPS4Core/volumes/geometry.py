"""Whether two volumes lie on the same voxel grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error

TOLERANCE = 1e-3
"""Of a voxel's size for spacing and origin; absolute for direction cosines."""


def geometry_difference(image: sitk.Image, like: sitk.Image) -> str | None:
    """What differs first (size, spacing, direction, origin), in words; None if nothing does."""
    if image.GetSize() != like.GetSize():
        return f"its size is {image.GetSize()}, the image's {like.GetSize()}"
    return _difference_but_size(image, like)


def has_geometry_of(path: Path, like: sitk.Image) -> bool:
    """Whether a file's header, which is all that is read, says that it lies on the same grid."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, spacing = reader.GetSize(), reader.GetSpacing()
        header = sitk.Image([1] * len(size), sitk.sitkUInt8)
        header.SetSpacing(spacing)
        header.SetOrigin(reader.GetOrigin())
        header.SetDirection(reader.GetDirection())
    except RuntimeError:
        return False
    return size == like.GetSize() and _difference_but_size(header, like) is None


def volume_difference(image: sitk.Image, like: sitk.Image) -> str | None:
    """What tells two volumes apart: their grids or their voxels, in words; None if nothing does."""
    difference = geometry_difference(image, like)
    if difference is None and not np.array_equal(
        sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(like)
    ):
        difference = "its voxels have other values"
    return difference


def check_same_geometry(image: sitk.Image, like: sitk.Image, path: Path) -> None:
    """Raise CPS4Error that names the difference where `image` (from `path`) is not on the grid."""
    difference = geometry_difference(image, like)
    if difference:
        raise CPS4Error(
            f"The label map does not lie on its image's grid: {difference}",
            path=path,
            cure="Use the label map drawn on this image, or resample it to the image",
        )


def pad_to(image: sitk.Image, like: sitk.Image) -> sitk.Image:
    """`image` padded with zeros to the grid of `like` where it is a crop of it, else unchanged."""
    offset = np.array(like.TransformPhysicalPointToContinuousIndex(image.GetOrigin()))
    lower = np.rint(offset).astype(int)
    upper = np.array(like.GetSize()) - lower - image.GetSize()
    if np.any(np.abs(offset - lower) > TOLERANCE) or np.any(lower < 0) or np.any(upper < 0):
        return image
    padded = sitk.ConstantPad(image, lower.tolist(), upper.tolist(), 0)
    return image if _difference_but_size(padded, like) else padded


def _difference_but_size(image: sitk.Image, like: sitk.Image) -> str | None:
    spacing = np.array(like.GetSpacing())
    for what, ours, theirs, tolerance in (
        ("spacing", image.GetSpacing(), like.GetSpacing(), TOLERANCE * spacing),
        ("direction", image.GetDirection(), like.GetDirection(), np.array(TOLERANCE)),
        ("origin", image.GetOrigin(), like.GetOrigin(), np.array(TOLERANCE * spacing.max())),
    ):
        if np.any(np.abs(np.subtract(ours, theirs)) > tolerance):
            return f"its {what} is {_rounded(ours)}, the image's {_rounded(theirs)}"
    return None


def _rounded(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
