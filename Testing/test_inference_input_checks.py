"""Inputs that the model was not made for: no crash, low confidence, a sentence for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import write_tiny_model

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.predictor import Predictor, Segmentation
from CPS4Core.model_folder import ModelInfo, read_model
from CPS4Core.phantom import make_phantom
from CPS4Core.slices.grid import make_grid, working_slices
from CPS4Core.volumes.sagittal import SagittalStack, to_sagittal


class KnowsUpright:
    """Knows one volume's truth, and sees shapes without levels where it is turned."""

    name = "made"

    def __init__(self, info: ModelInfo, image: SagittalStack, labels: SagittalStack):
        grid = make_grid(image.array.shape[1:], image.spacing[1:], info.config.input)
        self.images = np.round(working_slices(image.array, grid) * 255)
        indices = info.schema.to_indices(labels.array)
        self.truth = [grid.labels_to_working(plane) % 255 for plane in indices]
        self.schema = info.schema

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        raise AssertionError("slices come together")

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        for plane in working.astype(np.float32):
            yield self._known(plane, 0.9) if self._is_known(plane) else self._shapes(plane)

    def _is_known(self, plane: np.ndarray) -> bool:
        return bool(np.abs(self.images - plane).mean(axis=(1, 2)).min() < 3)

    def _known(self, plane: np.ndarray, certain: float) -> np.ndarray:
        nearest = np.abs(self.images - plane).mean(axis=(1, 2)).argmin()
        count = self.schema.class_count
        one_hot = self.truth[nearest][None] == np.arange(count)[:, None, None]
        return (certain * one_hot + (1 - certain) / count).astype(np.float32)

    def _shapes(self, plane: np.ndarray) -> np.ndarray:
        known = self._known(plane[::-1], 0.9)[:, ::-1]
        for kind in ("vertebra", "disc"):
            levels = self.schema.indices_of_kind(kind)
            known[levels] = known[levels].mean(axis=0)
        return np.ascontiguousarray(known)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    folder: Path = tmp_path_factory.mktemp("model") / "model"
    return write_tiny_model(folder, None, "input.size=[160,160]", "inference.levels=decoded")


@pytest.fixture(scope="module")
def scan() -> tuple[SagittalStack, SagittalStack]:
    image, labels = make_phantom(3, size=192, slices=12, sacrum_visible=True)
    return to_sagittal(image), to_sagittal(labels)


def segment(
    info: ModelInfo, scan: tuple[SagittalStack, SagittalStack], array: np.ndarray
) -> Segmentation:
    """Segment `array` by an engine that knows the scan; the shape may be another."""
    return Predictor(info, KnowsUpright(info, *scan)).predict(volume(array, scan[0].spacing))


def volume(array: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing[::-1])
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    return image


def mean_confidence(found: Segmentation) -> float:
    return float(np.mean([s.confidence for s in found.structures]))


def says(found: Segmentation, text: str) -> bool:
    return any(text in warning for warning in found.warnings)


def test_an_ordinary_volume_raises_no_doubt(info, scan) -> None:
    found = segment(info, scan, scan[0].array)
    assert mean_confidence(found) > 0.6
    for text in ("Looks", "Hardly", "Few", "Perhaps", "empty", "view"):
        assert not says(found, text), found.warnings


def test_an_upside_down_volume_is_noticed(info, scan) -> None:
    found = segment(info, scan, scan[0].array[:, ::-1])
    assert says(found, "Looks upside down"), found.warnings
    assert mean_confidence(found) < 0.3


def test_empty_slices_stay_empty_and_the_rest_is_named(info, scan) -> None:
    array = scan[0].array.copy()
    array[:3] = array[5] = 0
    found = segment(info, scan, array)
    assert says(found, "4 of 12 slices are empty")
    assert not found.indices[:3].any() and not found.indices[5].any()
    truth = info.schema.to_indices(scan[1].array)
    both = (found.indices > 0) & (truth > 0)
    assert both.any() and (found.indices == truth)[both].mean() > 0.9


def test_slices_of_one_value_each_are_an_error(info, scan) -> None:
    steps = np.ones_like(scan[0].array) * np.arange(12, dtype=np.int16)[:, None, None]
    with pytest.raises(CPS4Error, match="only one value"):
        segment(info, scan, steps)


def test_fluid_darker_than_bone_is_another_sequence(info, scan) -> None:
    inverted = scan[0].array.max() - scan[0].array
    engine = KnowsUpright(info, *scan)
    engine.images = 255 - engine.images  # it finds the spine all the same
    engine._is_known = lambda plane: True  # type: ignore[method-assign]
    found = Predictor(info, engine).predict(volume(inverted, scan[0].spacing))
    assert says(found, "Perhaps not T2-weighted"), found.warnings
    assert mean_confidence(found) < 0.6 * mean_confidence(segment(info, scan, scan[0].array))


def test_one_vertebra_tells_no_level(info, scan) -> None:
    truth = info.schema.to_indices(scan[1].array)
    rows = np.flatnonzero((truth == info.schema.index_of("L3")).any(axis=(0, 2)))
    part = slice(rows[0], rows[-1])
    cut = tuple(
        SagittalStack(s.array[:, part].copy(), s.spacing, *[getattr(s, n) for n in REST])
        for s in scan
    )
    found = segment(info, cut, cut[0].array)
    assert says(found, "The view is only") and says(found, "Few structures seen")
    assert not found.structures or mean_confidence(found) < 0.3


REST = ("axes", "flips", "origin", "voxel_spacing", "direction")


class SeesNothing(KnowsUpright):
    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        count = self.schema.class_count
        for plane in working:
            yield np.full((count, *plane.shape), 1 / count, np.float32)


def test_without_a_spine_nothing_is_labelled(info, scan) -> None:
    noise = np.random.default_rng(0).normal(100, 20, scan[0].array.shape).astype(np.float32)
    found = Predictor(info, SeesNothing(info, *scan)).predict(volume(noise, scan[0].spacing))
    doubtful = says(found, "No column") or says(found, "Hardly a spine")
    assert doubtful, found.warnings
    assert all(s.confidence < 0.3 for s in found.structures)


def test_the_models_own_rule_for_levels(info, scan, tmp_path) -> None:
    engine = KnowsUpright(info, *scan)
    assert Predictor(info, engine).levels == "decoded"
    assert Predictor(info, engine, "raw").levels == "raw"
    old = write_tiny_model(tmp_path / "old").folder / "model.json"
    content = json.loads(old.read_text())
    del content["config"]["inference"]  # written before the option was there
    old.write_text(json.dumps(content))
    assert Predictor(read_model(old.parent), engine).levels == "raw"
