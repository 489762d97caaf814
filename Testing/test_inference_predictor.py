"""One volume to labels: they lie where the structure lies, however the voxels are stored."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_samples import BOX, SPACING, core_of, sagittal_volume
from tiny_model import BRIGHT, BRIGHTEST, write_tiny_model

from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.predictor import Predictor
from CPS4Core.progress import Progress


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    info = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    return Predictor(info, make_engine(info, "cpu", "torch"))


def same_geometry(a: sitk.Image, b: sitk.Image) -> bool:
    return (a.GetSize(), a.GetSpacing(), a.GetOrigin(), a.GetDirection()) == (
        b.GetSize(),
        b.GetSpacing(),
        b.GetOrigin(),
        b.GetDirection(),
    )


def test_labels_confidences_and_volumes(predictor: Predictor) -> None:
    image = sagittal_volume()
    found = predictor.predict(image)
    values = {s.name: s.value for s in predictor.info.schema.structures}
    labels = sitk.GetArrayFromImage(found.label)
    expected = np.zeros_like(labels)
    for number, plane in enumerate(expected):
        plane[BOX], plane[core_of(number)] = values[BRIGHT], values[BRIGHTEST]
    assert same_geometry(found.label, image)
    for name in (BRIGHT, BRIGHTEST):
        ours, theirs = labels == values[name], expected == values[name]
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.75
    by_name = {s.name: s for s in found.structures}
    assert set(by_name) == {BRIGHT, BRIGHTEST}
    for name, s in by_name.items():
        assert s.value == values[name] and s.voxels == (labels == s.value).sum()
        assert s.volume_mm3 == pytest.approx(s.voxels * np.prod(SPACING), rel=1e-4)
        index = predictor.info.schema.index_of(name)
        assert 0.5 < s.confidence <= 1 and s.confidence == round(found.confidence[index], 4)
    assert np.array_equal(predictor.info.schema.to_values(found.indices), labels)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_permuted_and_flipped_voxels_get_the_same_labels(
    predictor: Predictor, order: tuple[int, int, int]
) -> None:
    image = sagittal_volume()
    expected = sitk.GetArrayFromImage(predictor.predict(image).label)
    for steps in product((1, -1), repeat=3):
        stored = sitk.PermuteAxes(image, order)[tuple(slice(None, None, s) for s in steps)]
        label = predictor.predict(stored).label
        assert same_geometry(label, stored)
        back = sitk.Resample(label, image, sitk.Transform(), sitk.sitkNearestNeighbor, 99)
        assert np.array_equal(sitk.GetArrayFromImage(back), expected)


def test_an_oblique_volume_keeps_its_direction(predictor: Predictor) -> None:
    image = sagittal_volume()
    expected = sitk.GetArrayFromImage(predictor.predict(image).label)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.3, 0.25)
    direction = np.reshape(turn.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    image.SetDirection(direction.ravel().tolist())
    label = predictor.predict(image).label
    assert same_geometry(label, image)
    assert np.array_equal(sitk.GetArrayFromImage(label), expected)


def test_a_real_volume_stored_otherwise_gets_the_same_labels(
    predictor: Predictor, real_data: Path
) -> None:
    image = sitk.ReadImage(str(real_data / "other" / "sct_t2_lumbar.nii.gz"))
    expected = sitk.GetArrayFromImage(predictor.predict(image).label)
    assert len(np.unique(expected)) == 3
    stored = sitk.PermuteAxes(image, (2, 0, 1))[::-1, :, ::-1]
    label = predictor.predict(stored).label
    back = sitk.GetArrayFromImage(sitk.PermuteAxes(label[::-1, :, ::-1], (1, 2, 0)))
    assert np.array_equal(back, expected)


def test_one_slice_is_enough(predictor: Predictor) -> None:
    image = sagittal_volume()[:, :, 2:3]
    found = predictor.predict(image)
    assert same_geometry(found.label, image) and found.indices.any()


def test_thick_axial_slices_are_remarked_upon(predictor: Predictor) -> None:
    image = sagittal_volume(slices=24, rows=56, cols=44)
    assert not any("axial" in text for text in predictor.predict(image).warnings)
    image.SetSpacing((0.5, 4.4, 0.5))
    assert any("axial slices 4.4 mm apart" in text for text in predictor.predict(image).warnings)


def test_a_constant_volume_is_an_error(predictor: Predictor) -> None:
    with pytest.raises(CPS4Error, match="same value"):
        predictor.predict(sagittal_volume() * 0)


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_wrong_voxel_size_is_named_at_once(predictor: Predictor, factor: float) -> None:
    """Micrometres and metres taken for millimetres: minutes of resampling, and nothing found."""
    image = sagittal_volume()
    image.SetSpacing([factor * mm for mm in image.GetSpacing()])
    with pytest.raises(CPS4Error, match="mm high from head to foot .* voxel size is wrong"):
        predictor.predict(image)


def test_it_stops_between_slices_when_asked(predictor: Predictor) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        predictor.predict(sagittal_volume(), progress)
