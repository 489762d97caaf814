"""Decoded levels through the predictor: names from the order, labels in the input's geometry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import write_tiny_model

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.predictor import Predictor
from CPS4Core.model_folder import ModelInfo
from CPS4Core.phantom import make_phantom
from CPS4Core.slices.grid import make_grid
from CPS4Core.volumes.sagittal import to_sagittal


class SwappedNames:
    """Sees every structure and takes L3 for L1, as a network with few labels does."""

    name = "made"

    def __init__(self, info: ModelInfo, labels: sitk.Image):
        schema = info.schema
        stack = to_sagittal(labels)
        indices = schema.to_indices(stack.array)
        indices[indices == schema.index_of("L3")] = schema.index_of("L1")
        grid = make_grid(indices.shape[1:], stack.spacing[1:], info.config.input)
        self.planes = [grid.labels_to_working(plane) % 255 for plane in indices]
        self.count = schema.class_count

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        raise AssertionError("slices come together")

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        for plane in self.planes:
            one_hot = plane[None] == np.arange(self.count)[:, None, None]
            yield (0.9 * one_hot + 0.1 / self.count).astype(np.float32)


@pytest.fixture(scope="module")
def scan() -> tuple[sitk.Image, sitk.Image]:
    return make_phantom(3, size=192, slices=12, sacrum_visible=True)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    folder: Path = tmp_path_factory.mktemp("model") / "model"
    return write_tiny_model(folder, None, "input.size=[160,160]")


def share_of_l3(info: ModelInfo, scan: tuple[sitk.Image, sitk.Image], levels: str) -> float:
    image, labels = scan
    found = Predictor(info, SwappedNames(info, labels), levels).predict(image)
    assert found.label.GetSize() == image.GetSize()
    assert found.label.GetDirection() == image.GetDirection()
    value = info.schema.structures[info.schema.index_of("L3") - 1].value
    truth = sitk.GetArrayFromImage(labels) == value
    return float((sitk.GetArrayFromImage(found.label)[truth] == value).mean())


def test_decoding_gives_a_swapped_level_its_name_back(info, scan) -> None:
    assert share_of_l3(info, scan, "raw") == 0
    assert share_of_l3(info, scan, "decoded") > 0.8


def test_every_structure_has_a_confidence_of_its_name(info, scan) -> None:
    found = Predictor(info, SwappedNames(info, scan[1]), "decoded").predict(scan[0])
    assert len(found.structures) > 10
    assert all(0 <= s.confidence <= 1 for s in found.structures)


def test_unknown_levels_are_refused(info) -> None:
    with pytest.raises(CPS4Error, match="decoded"):
        Predictor(info, None, "guessed")  # type: ignore[arg-type]
