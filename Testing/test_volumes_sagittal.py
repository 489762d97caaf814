"""Sagittal stacks of volumes in any orientation, and the way back to the voxel."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.reading import read_volume
from CPS4Core.volumes.sagittal import to_sagittal

ORIENTATIONS = [(p, f) for p in permutations(range(3)) for f in product((False, True), repeat=3)]
REAL = {
    "sct": "other/sct_t2_lumbar.nii.gz",
    "tptbox": "other/tptbox/sub-mri_label-6_T2w.nii.gz",
    "spider": "spider-t2space/imagesTr/spider_005_0000.nii.gz",
}


def made_volume() -> sitk.Image:
    """Sagittal, 5 slices of 11 rows and 7 columns, every voxel another value, thick slices."""
    values = np.arange(5 * 11 * 7, dtype=np.int16).reshape(5, 11, 7)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.6, 4.4))
    image.SetOrigin((-12.25, 30.5, 101.125))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))  # x posterior, y inferior, z left
    return image


def turned(image: sitk.Image, degrees: tuple[float, float, float]) -> sitk.Image:
    """The same voxels on a grid turned in space."""
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    copy = sitk.Image(image)
    copy.SetDirection((rotation @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return copy


def reordered(image: sitk.Image, order: tuple[int, ...], flips: tuple[bool, ...]) -> sitk.Image:
    """The same content in the same place, stored with other index axes.

    The axes are worked out here by hand, so that what is tested does not test itself.
    """
    direction = np.reshape(image.GetDirection(), (3, 3))
    spacing, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    first = np.where(flips, size - 1, 0)
    origin = image.GetOrigin() + direction @ (spacing * first)
    columns = direction * np.where(flips, -1, 1)
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0)  # [x, y, z]
    values = values[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    stored = sitk.GetImageFromArray(values.transpose(order).transpose(2, 1, 0))
    stored.SetSpacing(spacing[list(order)].tolist())
    stored.SetOrigin(origin.tolist())
    stored.SetDirection(columns[:, list(order)].ravel().tolist())
    return stored


def geometry(image: sitk.Image) -> tuple[object, ...]:
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()


def marked_voxels(image: sitk.Image) -> np.ndarray:
    """World coordinates [n, 3] of the voxels that are not 0, by their value."""
    values = sitk.GetArrayViewFromImage(image)
    indices = np.argwhere(values)
    indices = indices[np.argsort(values[tuple(indices.T)])][:, ::-1]
    return np.array([image.TransformIndexToPhysicalPoint(i.tolist()) for i in indices])


@pytest.mark.parametrize(
    "degrees", [(0, 0, 0), (12, -8, 20), (-30, 25, 10), (45, 0, 0), (0, 0, 45)]
)
def test_all_orientations_give_one_stack_and_come_back(degrees: tuple[float, float, float]) -> None:
    upright = turned(made_volume(), degrees)
    wanted = to_sagittal(upright)
    for order, flips in ORIENTATIONS:
        image = reordered(upright, order, flips)
        stack = to_sagittal(image)
        np.testing.assert_array_equal(stack.array, wanted.array)
        assert stack.spacing == wanted.spacing
        back = stack.restore(stack.array)
        assert geometry(back) == geometry(image)
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(image)
        )


@pytest.mark.parametrize("case", REAL)
def test_label_keeps_its_place_in_every_orientation_of_a_real_volume(
    real_data: Path, case: str
) -> None:
    whole = read_volume(real_data / REAL[case])
    step = [max(1, size // 24) for size in whole.GetSize()]
    volume = whole[:: step[0], :: step[1], :: step[2]]
    for degrees in ((0, 0, 0), (17, -9, 23), (-38, 12, 31)):
        upright = turned(volume, degrees)
        wanted = to_sagittal(upright).array
        for order, flips in ORIENTATIONS:
            image = reordered(upright, order, flips)
            stack = to_sagittal(image)
            np.testing.assert_array_equal(stack.array, wanted)
            # A label drawn on the sagittal slices marks the same points of the patient.
            labels = np.zeros(wanted.shape, np.uint8)
            shape: np.ndarray = np.array(labels.shape)
            labels[tuple(shape // 4)], labels[tuple(shape // 2)], labels[tuple(shape - 1)] = 1, 2, 3
            points = marked_voxels(stack.restore(labels))
            expected = marked_voxels(to_sagittal(upright).restore(labels))
            np.testing.assert_allclose(points, expected, atol=1e-4)


def test_label_put_in_by_world_coordinate_comes_out_there() -> None:
    rng = np.random.default_rng(0)
    for degrees in ((0, 0, 0), (14, 21, -19), (-33, 8, 27)):
        for order, flips in ORIENTATIONS:
            image = reordered(turned(made_volume(), degrees), order, flips)
            labels = sitk.Image(image.GetSize(), sitk.sitkUInt8)
            labels.CopyInformation(image)
            index = [int(rng.integers(size)) for size in image.GetSize()]
            point = labels.TransformIndexToPhysicalPoint(index)
            labels[labels.TransformPhysicalPointToIndex(point)] = 7
            stack = to_sagittal(labels)
            out = stack.restore(stack.array)
            assert out[index] == 7
            np.testing.assert_allclose(marked_voxels(out), [point], atol=1e-9)


def test_slices_run_right_to_left_rows_down_columns_back() -> None:
    """Checked against world coordinates (left, posterior, superior), not against the code."""
    for coordinate, axis, sense in ((0, 0, 1), (2, 1, -1), (1, 2, 1)):
        image = reordered(made_volume(), (1, 2, 0), (True, False, True))
        image = sitk.Cast(image, sitk.sitkFloat64)
        for index in np.ndindex(image.GetSize()):
            point = image.TransformIndexToPhysicalPoint(index)
            image[index] = point[coordinate]
        steps = np.diff(to_sagittal(image).array, axis=axis)
        assert (steps * sense > 0).all()


def test_axial_stored_volume_with_thick_slices() -> None:
    image = sitk.Image((40, 30, 6), sitk.sitkInt16)  # x left, y posterior, z superior
    image.SetSpacing((0.7, 0.8, 5.0))
    stack = to_sagittal(image)
    assert stack.array.shape == (40, 6, 30)
    assert stack.spacing == (0.7, 5.0, 0.8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_restore_keeps_the_type(dtype: type) -> None:
    stack = to_sagittal(made_volume())
    back = stack.restore(stack.array.astype(dtype))
    assert sitk.GetArrayViewFromImage(back).dtype == dtype


def test_restore_takes_masks_and_half_precision() -> None:
    stack = to_sagittal(made_volume())
    mask = sitk.GetArrayFromImage(stack.restore(stack.array > 100))
    assert mask.dtype == np.uint8 and mask.sum() == (stack.array > 100).sum()
    assert stack.restore(stack.array.astype(np.float16)).GetPixelID() == sitk.sitkFloat32


def test_single_slice() -> None:
    image = made_volume()[:, :, 2:3]
    stack = to_sagittal(image)
    assert stack.array.shape == (1, 11, 7)
    assert geometry(stack.restore(stack.array)) == geometry(image)


def test_the_stack_outlives_its_image_and_leaves_it_alone() -> None:
    image = made_volume()
    before = sitk.GetArrayFromImage(image)
    stack = to_sagittal(image)
    stack.array[:] = 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), before)


def test_what_does_not_fit_is_refused() -> None:
    stack = to_sagittal(made_volume())
    with pytest.raises(CPS4Error, match="does not fit"):
        stack.restore(stack.array[1:])
    with pytest.raises(CPS4Error, match="3D volume"):
        to_sagittal(sitk.Image((4, 4), sitk.sitkInt16))
    with pytest.raises(CPS4Error, match="3D volume"):
        to_sagittal(sitk.Image((4, 4, 4), sitk.sitkVectorUInt8, 3))
