"""Small studies for the tests, written with SimpleITK alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.schema import LabelSchema, built_in_schema
from CPS4Core.study.folder import write_dataset_json

SIZE = (4, 12, 10)


def volume(array: np.ndarray) -> sitk.Image:
    """The array [z, y, x] as an oblique volume with uneven spacing."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 4.0))
    image.SetOrigin((-10.0, 20.5, 3.25))
    image.SetDirection((0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    return image


def write(array: np.ndarray, path: Path) -> Path:
    """Write an array as a volume file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume(array), str(path))
    return path


def image_array(seed: int) -> np.ndarray:
    """Noise that differs by seed."""
    return np.random.default_rng(seed).integers(1, 1000, SIZE).astype(np.int16)


def label_array(seed: int, values: Iterable[int] = (2, 3, 11)) -> np.ndarray:
    """A label map holding the values, in another place for each seed."""
    array = np.zeros(SIZE, np.uint8)
    for i, value in enumerate(values):
        array[1, (i + seed) % SIZE[1], 1 : 4 + seed % 4] = value
    return array


def make_study(
    folder: Path, labelled: int = 4, unlabelled: int = 2, schema: LabelSchema | None = None
) -> Path:
    """A sound study with the cases `case_00`, `case_01`, ...; the first ones are labelled."""
    for n in range(labelled + unlabelled):
        write(image_array(n), folder / "imagesTr" / f"case_{n:02d}_0000.nii.gz")
        if n < labelled:
            write(label_array(n), folder / "labelsTr" / f"case_{n:02d}.nii.gz")
    write_dataset_json(folder, schema or built_in_schema("mrspineseg"))
    return folder
