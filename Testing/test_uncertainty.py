"""The uncertainty map: where the input is, high where the tissue or the level is doubtful."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_samples import BOX, sagittal_volume
from PIL import Image
from tiny_model import write_tiny_model

from CPS4Core.cli.main import main
from CPS4Core.inference.predictor import Predictor
from CPS4Core.inference.uncertainty import add_level_doubt, tissues
from CPS4Core.model_folder import ModelInfo
from CPS4Core.schema import built_in_schema

SPOILED = np.s_[2:4, 10:16, 8:16]
"""[slices, rows, cols] inside the bright block whose intensity is between bone and background."""


class Brightness:
    """Calls a pixel L4 by as much as it is bright."""

    name = "made"

    def __init__(self, info: ModelInfo):
        self.count, self.bone = info.schema.class_count, info.schema.index_of("L4")

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        raise AssertionError("slices come together")

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        for plane in working:
            softmax = np.zeros((self.count, *plane.shape), np.float32)
            softmax[self.bone] = plane / np.float32(255)
            softmax[0] = 1 - softmax[self.bone]
            yield softmax


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    folder = tmp_path_factory.mktemp("model") / "model"
    return write_tiny_model(folder, None, "input.size=[56,44]")


def volume() -> sitk.Image:
    """A block of bone, partly spoiled, in an oblique sagittal volume."""
    array = np.zeros((6, 56, 44), np.int16)
    array[:, BOX[0], BOX[1]] = 1000
    array[SPOILED] = 620
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sagittal_volume())
    turn = sitk.Euler3DTransform((0, 0, 0), 0.1, -0.15, 0.2)
    direction = np.reshape(turn.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    image.SetDirection(direction.ravel().tolist())
    return image


def uncertainty(info: ModelInfo, image: sitk.Image) -> sitk.Image:
    found = Predictor(info, Brightness(info), uncertainty=True).predict(image)
    assert found.uncertainty is not None
    return found.stack.restore(found.uncertainty)


def test_it_is_higher_where_the_image_is_spoiled(info: ModelInfo) -> None:
    doubt = sitk.GetArrayFromImage(uncertainty(info, volume())) / 255
    spoiled = doubt[SPOILED][:, 1:-1, 1:-1]
    good, outside = doubt[5, 10:22, 8:16], doubt[:, 40:, 30:]
    sure = (
        Predictor(info, Brightness(info)).predict(volume()).confidence[info.schema.index_of("L4")]
    )
    # 1 - p(tissue) * c(level), to the 8 bits' precision
    assert spoiled.mean() == pytest.approx(1 - 0.62 * sure, abs=0.02)
    assert good.mean() == pytest.approx(1 - sure, abs=0.02)
    assert outside.max() == 0 and spoiled.min() > good.max()


def test_it_lies_where_the_input_is_however_that_is_stored(info: ModelInfo) -> None:
    image = volume()
    turned = sitk.Flip(sitk.PermuteAxes(image, (2, 0, 1)), (True, False, True))
    straight, other = uncertainty(info, image), uncertainty(info, turned)
    for made, of in ((straight, image), (other, turned)):
        assert made.GetSize() == of.GetSize() and made.GetPixelID() == sitk.sitkUInt8
        for part in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert getattr(made, part)() == pytest.approx(getattr(of, part)())
    again = sitk.Flip(sitk.PermuteAxes(straight, (2, 0, 1)), (True, False, True))
    assert (sitk.GetArrayFromImage(again) == sitk.GetArrayFromImage(other)).all()


def test_a_doubtful_level_makes_its_structure_doubtful_and_no_other() -> None:
    indices = np.array([[[0, 1, 2, 2]]], np.uint8)
    doubt = np.array([[[51, 51, 51, 0]]], np.uint8)  # .2 and 0
    add_level_doubt(doubt, indices, {1: 0.5, 2: 1.0})
    assert doubt.tolist() == [[[51, 153, 51, 0]]]


def test_levels_of_one_tissue_do_not_compete() -> None:
    schema = built_in_schema("totalspineseg")
    found = tissues(schema)
    assert found[0] == 0 and len(found) == schema.class_count
    for kind in ("vertebra", "disc"):
        assert len(set(found[schema.indices_of_kind(kind)])) == 1
    others = schema.indices_of_kind("other")
    assert len(others) > 1 and len(set(found[others])) == len(others)


def test_the_file_is_made_when_it_is_asked_for_later(info: ModelInfo, tmp_path: Path) -> None:
    scan, out = tmp_path / "scan.nrrd", tmp_path / "out"
    sitk.WriteImage(sagittal_volume(), str(scan))
    arguments = [str(scan), "-o", str(out), "-m", str(info.folder), "--quiet", "--device", "cpu"]
    arguments += ["--engine", "torch"]
    assert main(["segment", *arguments]) == 0
    with Image.open(out / "scan_qc.png") as picture:
        width = picture.width
    assert not (out / "uncertainty").exists()
    assert main(["segment", *arguments, "--uncertainty"]) == 0
    made = sitk.ReadImage(str(out / "uncertainty" / "scan.nii.gz"))
    assert made.GetSize() == sagittal_volume().GetSize() and sitk.GetArrayViewFromImage(made).any()
    assert "uncertainty/scan.nii.gz" in json.loads((out / "scan.json").read_text())["files"]
    with Image.open(out / "scan_qc.png") as picture:
        assert picture.width > width, "a panel with its colour bar"
    before = (out / "scan.json").stat().st_mtime_ns
    assert main(["segment", *arguments, "--uncertainty"]) == 0
    assert (out / "scan.json").stat().st_mtime_ns == before, "now it is finished"
