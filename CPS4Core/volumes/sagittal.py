"""The sagittal stack of a volume of any orientation, and the way back to the volume's own geometry.

Axes are permuted and flipped, never resampled, so that every voxel returns to where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error

# SimpleITK's world axes point left, posterior and superior. Stack axis -> (world axis, sense).
_STACK_AXES = ((0, 1), (2, -1), (1, 1))


@dataclass(frozen=True)
class SagittalStack:
    """A volume as sagittal slices, and how to undo that.

    array: [slices, rows, cols], C-contiguous; slices run right to left, rows superior to inferior,
        columns anterior to posterior (each along the nearest voxel axis).
    spacing: (slice, row, col) in mm.
    axes: the volume's index axis (0 = x, 1 = y, 2 = z) behind each stack axis.
    flips: whether that index axis runs against the stack axis.
    origin, voxel_spacing, direction: the volume's own geometry, as SimpleITK gave it.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    origin: tuple[float, ...]
    voxel_spacing: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def slice_axis(self) -> dict[str, Any]:
        """Where the slices lie in SimpleITK's world (left, posterior, superior), in mm.

        `origin_lps` is a point in slice 0, `direction_lps` the unit vector towards slice 1,
        `spacing_mm` their distance: p lies in slice (p - origin) . direction / spacing.
        """
        axis, step = self.axes[0], self.spacing[0]
        along = np.reshape(self.direction, (3, 3))[:, axis]
        origin = np.array(self.origin)
        if self.flips[0]:
            origin, along = origin + along * step * (len(self.array) - 1), -along
        return {
            "origin_lps": origin.tolist(),
            "direction_lps": (along + 0.0).tolist(),  # no -0.0
            "spacing_mm": float(step),
        }

    def restore(self, array: np.ndarray) -> sitk.Image:
        """`array` [slices, rows, cols] as a volume in the input's own geometry.

        Keeps the type; bool becomes uint8 and float16 float32, which image files lack.
        Raises CPS4Error where the shape is not the stack's.
        """
        if array.shape != self.array.shape:
            raise CPS4Error(
                f"An array of shape {array.shape} does not fit the stack of {self.array.shape}"
            )
        if array.dtype == np.bool_:
            array = array.astype(np.uint8)
        elif array.dtype == np.float16:
            array = array.astype(np.float32)
        order = np.argsort([2 - axis for axis in self.axes])
        image = sitk.GetImageFromArray(_flip(array, self.flips).transpose(order), isVector=False)
        image.SetOrigin(self.origin)
        image.SetSpacing(self.voxel_spacing)
        image.SetDirection(self.direction)
        return image


def to_sagittal(image: sitk.Image) -> SagittalStack:
    """The sagittal stack of a 3D scalar volume, copied, in its own type.

    Raises CPS4Error for anything but a 3D scalar volume.
    """
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise CPS4Error(
            f"A 3D volume with one value per voxel is needed, not {image.GetDimension()}D "
            f"with {image.GetNumberOfComponentsPerPixel()}"
        )
    direction = np.reshape(image.GetDirection(), (3, 3))
    spacing = image.GetSpacing()
    axes = _nearest_axes(direction, spacing)
    flips = tuple(
        bool(direction[world, axis] * sense < 0)
        for axis, (world, sense) in zip(axes, _STACK_AXES, strict=True)
    )
    view = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in axes])
    # A copy: the view would dangle once SimpleITK frees the image.
    array = np.array(_flip(view, flips), order="C")
    slice_mm, row_mm, col_mm = (spacing[axis] for axis in axes)
    return SagittalStack(
        array=array,
        spacing=(slice_mm, row_mm, col_mm),
        axes=axes,
        flips=(flips[0], flips[1], flips[2]),
        origin=image.GetOrigin(),
        voxel_spacing=spacing,
        direction=image.GetDirection(),
    )


def _nearest_axes(direction: np.ndarray, spacing: tuple[float, ...]) -> tuple[int, int, int]:
    """Which index axis goes with each stack axis: the assignment of largest total alignment.

    Each axis' best match alone could take one index axis twice in an oblique volume. On a draw
    (a turn of exactly 45 degrees) the thickest axis counts as the slices, then the axes' own
    directions decide, so that a permuted or flipped copy gives the same stack.
    """

    def preference(axes: tuple[int, ...]) -> tuple[float, ...]:
        components = [
            direction[:, axis] * (1 if direction[world, axis] * sense >= 0 else -1)
            for axis, (world, sense) in zip(axes, _STACK_AXES, strict=True)
        ]
        fit = sum(
            abs(vector[world]) for vector, (world, _) in zip(components, _STACK_AXES, strict=True)
        )
        tie_breaks = np.concatenate([[spacing[axes[0]]], *components])
        return (round(float(fit), 6), *np.round(tie_breaks, 6).tolist())

    slices, rows, cols = max(permutations(range(3)), key=preference)
    return slices, rows, cols


def _flip(array: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    return array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
