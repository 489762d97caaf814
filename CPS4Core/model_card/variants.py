"""Changed copies of a scan: thick slices, other contrasts, other coils. Labels stay right.

All work on sagittal stacks [slices, rows, cols]; intensities are first brought to 0..1 between the
0.5th and 99.5th percentile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from CPS4Core.volumes.sagittal import SagittalStack

THICK_MM = 4.4
NOISE_SD = 0.05
FIELD_MM = 40.0
FAT_MM, FAT_FROM, FAT_SPREAD = 4.0, 0.55, 0.15

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Variant:
    """A way to change a scan. `image` takes values in 0..1, spacing in mm and a random generator;
    `thick` averages slices first, labels by majority."""

    name: str
    what: str
    image: Callable[[np.ndarray, Spacing, np.random.Generator], np.ndarray]
    thick: bool = False


def gamma(power: float) -> Callable[[np.ndarray, Spacing, np.random.Generator], np.ndarray]:
    """Values to a power: below 1 everything is brighter."""
    return lambda values, spacing, random: values**power


def inverted_field(values: np.ndarray, spacing: Spacing, random: np.random.Generator) -> np.ndarray:
    """The coil's unevenness (Gaussian mean over 40 mm) turned round: what was near is now far."""
    field = gaussian_filter(values, [0, FIELD_MM / spacing[1], FIELD_MM / spacing[2]]) + 0.02
    return np.asarray(values * (field.mean() / field) ** 2)


def noisy(values: np.ndarray, spacing: Spacing, random: np.random.Generator) -> np.ndarray:
    """Rician noise: Gaussian, 5 % of the range, in both channels of a magnitude image."""
    first, second = random.normal(0, NOISE_SD, (2, *values.shape))
    return np.hypot(values + first, second)


def fat_suppressed(values: np.ndarray, spacing: Spacing, random: np.random.Generator) -> np.ndarray:
    """Broad bright areas fade, as fat does; narrow bright ones (fluid) stay.

    No simulation of the physics: marrow keeps its grey.
    """
    wide = gaussian_filter(values, [0, FAT_MM / spacing[1], FAT_MM / spacing[2]])
    return np.asarray(values * np.exp(-np.clip(wide - FAT_FROM, 0, None) / FAT_SPREAD))


def unchanged(values: np.ndarray, spacing: Spacing, random: np.random.Generator) -> np.ndarray:
    """The values as they are."""
    return values


VARIANTS = (
    Variant("thick", f"slices averaged to about {THICK_MM} mm", unchanged, thick=True),
    Variant("gamma-0.6", "gamma 0.6 (brighter)", gamma(0.6)),
    Variant("gamma-1.6", "gamma 1.6 (darker)", gamma(1.6)),
    Variant("field", "coil field inverted", inverted_field),
    Variant("noise", "noise of 5 % added", noisy),
    Variant("fat-suppressed", "bright fat faded", fat_suppressed),
)


def make_variant(
    variant: Variant, image: SagittalStack, labels: SagittalStack, seed: int
) -> tuple[sitk.Image, sitk.Image]:
    """Image (int16, 0..1000) and labels of a changed copy, both axis-aligned and sagittal."""
    values, names, spacing = image.array.astype(np.float32), labels.array, image.spacing
    low, high = np.percentile(values, (0.5, 99.5))
    values = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    if variant.thick:
        count = max(1, round(THICK_MM / spacing[0]))
        values, names = average_slices(values, count), majority_slices(names, count)
        spacing = (spacing[0] * count, *spacing[1:])
    changed = variant.image(values, spacing, np.random.default_rng(seed))
    signal = np.round(1000 * np.clip(changed, 0, 4)).astype(np.int16)
    return as_volume(signal, spacing), as_volume(names, spacing)


def average_slices(array: np.ndarray, count: int) -> np.ndarray:
    """Means of `count` neighbouring slices [S // count, R, C]; a rest at the end is left out."""
    return np.asarray(_slabs(array, count).mean(axis=1))


def majority_slices(labels: np.ndarray, count: int) -> np.ndarray:
    """The commonest value of `count` neighbouring slices at each pixel; the lower one on a draw."""
    slabs = _slabs(labels, count)
    values = np.unique(labels)
    votes = np.stack([(slabs == value).sum(axis=1) for value in values])
    return np.asarray(values[votes.argmax(axis=0)])


def as_volume(array: np.ndarray, spacing: Spacing) -> sitk.Image:
    """A sagittal stack [slices right to left, rows downwards, cols backwards] as a volume."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing[::-1])
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    return image


def _slabs(array: np.ndarray, count: int) -> np.ndarray:
    """[S // count, count, R, C], at least one slab."""
    count = min(count, len(array))
    whole = len(array) // count
    return array[: whole * count].reshape(whole, count, *array.shape[1:])
