"""Calibration: better than the formula, rising, honest about its cases, and used where it lies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from inference_samples import BOX, core_of, sagittal_volume
from tiny_model import write_tiny_model

from CPS4Core.calibration.fit import Pair, candidates, choose, fit_isotonic, fit_logistic, log_loss
from CPS4Core.calibration.held_out import held_out_cases
from CPS4Core.calibration.samples import cut_below, rows_above_anchor
from CPS4Core.cli.main import main
from CPS4Core.errors import CPS4Error
from CPS4Core.inference.calibration import CALIBRATION, level_confidence, read_calibration
from CPS4Core.inference.confidence import room_below
from CPS4Core.inference.fingerprint import model_fingerprint
from CPS4Core.model_folder import ModelInfo, read_model
from CPS4Core.phantom import make_phantom
from CPS4Core.schema import built_in_schema
from CPS4Core.study.folder import Study, case_fingerprint, write_dataset_json

SCHEMA = built_in_schema("mrspineseg")
SIGNS = ("formula", "room")

# Fitting


def made_pairs(seed: int = 0) -> list[Pair]:
    """12 cases of 10 levels: the formula says .9 to 1, the room below decides what is right."""
    draw = np.random.default_rng(seed)
    pairs = []
    for case in range(12):
        room = float(draw.uniform())
        for _ in range(10):
            signs = {"formula": float(draw.uniform(0.9, 1)), "room": room}
            pairs.append(Pair(f"case {case}", signs, bool(draw.uniform() < room)))
    return pairs


def test_calibration_beats_an_overconfident_formula_on_cases_left_out() -> None:
    found = choose(made_pairs(), candidates(SIGNS))
    assert found.name == "logistic, all signs"
    assert found.log_losses[found.name] < 0.65 < 1 < found.log_losses["uncalibrated"]
    unseen = made_pairs(1)
    right = np.array([p.right for p in unseen])
    by_formula = log_loss([p.signs["formula"] for p in unseen], right)
    assert log_loss([found.curve(p.signs) for p in unseen], right) < 0.65 < by_formula


def test_curves_rise_even_where_the_cases_say_otherwise() -> None:
    pairs = [
        Pair(str(i), {"formula": i / 20, "room": i / 20}, i % 20 < 8 or i == 15) for i in range(20)
    ]
    logistic, isotonic = fit_logistic(pairs, SIGNS), fit_isotonic(pairs, "formula")
    assert min(logistic.weights) >= 0
    upwards = [Pair(p.group, p.signs, not p.right) for p in pairs]
    for curve in (isotonic, fit_logistic(upwards, SIGNS), fit_isotonic(upwards, "formula")):
        values = [curve({"formula": x, "room": x}) for x in np.linspace(-1, 2, 50)]
        assert all(b >= a for a, b in zip(values, values[1:], strict=False))
        assert values[0] > 0 and values[-1] < 1, "few cases make nothing certain"
    assert values[-1] > values[0] + 0.3


def test_a_weight_counts_like_copies() -> None:
    pairs = made_pairs()[:30]
    doubled = [p._replace(weight=2.0) for p in pairs[:10]] + pairs[10:]
    copied = [*pairs[:10], *pairs]
    for fit in (fit_logistic, lambda p, s: fit_isotonic(p, "room")):
        one, two = fit(doubled, SIGNS), fit(copied, SIGNS)
        assert one(pairs[0].signs) == pytest.approx(two(pairs[0].signs), abs=1e-3)


def test_two_cases_are_too_few() -> None:
    with pytest.raises(CPS4Error, match="too few"):
        choose(made_pairs()[:20], candidates(SIGNS))


# Signs and cut copies


def test_room_below_is_that_of_the_lowest_level_not_of_the_sacrum() -> None:
    indices = np.zeros((2, 100, 10), np.uint8)
    indices[0, 10:50], indices[1, 60:81] = SCHEMA.index_of("L4"), SCHEMA.index_of("L5")
    assert room_below(indices, 1.5, SCHEMA) == pytest.approx((99 - 70) * 1.5 / 60)
    indices[1, 85:] = SCHEMA.index_of("S")
    assert room_below(indices, 1.5, SCHEMA) == pytest.approx((99 - 70) * 1.5 / 60)
    assert room_below(indices, 4.0, SCHEMA) == 1 and room_below(indices * 0, 1.0, SCHEMA) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_cut_copy_is_the_upper_part_without_sacrum_where_it_was(turned: bool) -> None:
    image, label = make_phantom(3, size=160, slices=5, sacrum_visible=True)
    if turned:
        label = sitk.Flip(sitk.PermuteAxes(label, (2, 1, 0)), (False, True, True))
    rows = rows_above_anchor(label, SCHEMA)
    assert rows is not None and 50 < rows < 160
    cut = cut_below(label, rows)
    values = set(np.unique(sitk.GetArrayViewFromImage(cut)))
    assert values.isdisjoint({1, 11}) and {3, 4, 13} <= values
    inside = sitk.Resample(label, cut, sitk.Transform(), sitk.sitkNearestNeighbor, 99)
    assert (sitk.GetArrayViewFromImage(inside) == sitk.GetArrayViewFromImage(cut)).all()
    hidden = make_phantom(3, size=160, slices=5, sacrum_visible=False)[1]
    assert rows_above_anchor(hidden, SCHEMA) is None


# Cases


def write(path: Path, image: sitk.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def truth_of(image: sitk.Image, bright: str) -> sitk.Image:
    """Labels of the made volume, whose bright block is `bright` and the core L5."""
    labels = np.zeros(sitk.GetArrayViewFromImage(image).shape, np.uint8)
    for number, plane in enumerate(labels):
        plane[BOX] = SCHEMA.structures[SCHEMA.index_of(bright) - 1].value
        plane[core_of(number)] = 2
    made = sitk.GetImageFromArray(labels)
    made.CopyInformation(image)
    return made


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases; in half of those to calibrate on, the model (L4 is bright) is wrong."""
    root = tmp_path_factory.mktemp("study") / "study"
    for number, case in enumerate(("taught", "v1", "v2", "u1", "u2", "t1")):
        image = sagittal_volume() + number
        write(root / "imagesTr" / f"{case}_0000.nii.gz", image)
        write(root / "labelsTr" / f"{case}.nii.gz", truth_of(image, ("L4", "L3")[number % 2]))
    write(root / "imagesTr" / "bare_0000.nii.gz", sagittal_volume())
    write_dataset_json(root, SCHEMA)
    splits = {"test": ["t1"], "val": ["v1", "v2"], "train": ["taught", "u1", "u2", "bare"]}
    (root / "splits.json").write_text(json.dumps(splits))
    return root


@pytest.fixture
def model(tmp_path: Path, study: Path) -> ModelInfo:
    """The tiny model, whose model.json says that it was taught by the case `taught`."""
    folder = write_tiny_model(tmp_path / "model").folder
    content = json.loads((folder / "model.json").read_text())
    image = case_fingerprint(study / "imagesTr" / "taught_0000.nii.gz")
    content["provenance"] = {"labelled": [{"id": "taught", "image": image}]}
    (folder / "model.json").write_text(json.dumps(content))
    return read_model(folder)


def test_held_out_are_validation_and_unlabelled_cases(model: ModelInfo, study: Path) -> None:
    opened = Study.open(study)
    found = [c.id for c in held_out_cases(model, opened, ["val", "unlabelled"])]
    assert found == ["u1", "u2", "v1", "v2"], "neither trained, test nor bare cases"
    assert [c.id for c in held_out_cases(model, opened, ["u2"])] == ["u2"]


@pytest.mark.parametrize(
    ("case", "said"),
    [("t1", "test case"), ("taught", "trained on the labels"), ("bare", "no case")],
)
def test_test_cases_and_trained_ones_are_refused(
    case: str, said: str, model: ModelInfo, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(model.folder), str(study), "--cases", f"val,{case}"]) == 2
    assert said in capsys.readouterr().err
    assert not (model.folder / CALIBRATION).exists()


def test_a_trained_case_under_another_name_is_refused(
    model: ModelInfo, study: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    shutil.copy(study / "imagesTr" / "taught_0000.nii.gz", copy / "imagesTr" / "v1_0000.nii.gz")
    with pytest.raises(CPS4Error, match="labels of v1"):
        held_out_cases(model, Study.open(copy), ["val"])
    (copy / "splits.json").unlink()
    with pytest.raises(CPS4Error, match="which cases are for tests"):
        held_out_cases(model, Study.open(copy), ["val"])
    with pytest.raises(CPS4Error, match="does not say which cases"):
        held_out_cases(write_tiny_model(tmp_path / "other"), Study.open(study), ["val"])


# The command, and what uses its file


def segment(model: ModelInfo, study: Path, out: Path, *options: str) -> tuple[int, dict[str, Any]]:
    image = study / "imagesTr" / "t1_0000.nii.gz"
    arguments = [str(image), "-o", str(out), "-m", str(model.folder), "--no-qc", *options]
    code = main(["segment", *arguments, "--device", "cpu", "--engine", "torch", "--quiet"])
    return code, json.loads((out / "t1.json").read_text())


def test_the_command_makes_confidences_what_they_say(
    model: ModelInfo, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before = segment(model, study, tmp_path / "out", "--levels", "raw")
    arguments = [str(model.folder), str(study), "--levels", "raw", "--phantoms", "0"]
    engine = ["--device", "cpu", "--engine", "torch"]
    assert main(["calibrate", *arguments, *engine]) == 0
    assert "4 cases" in capsys.readouterr().err
    content = json.loads((model.folder / CALIBRATION).read_text())
    fitted = content["levels"]["raw"]
    assert fitted["cases"] == ["u1", "u2", "v1", "v2"] and "test" not in fitted
    # L4 is right in two of four cases, L5 in all: six of eight levels, two of four volumes.
    assert fitted["structure"]["held_out"]["right"] == pytest.approx(0.75)
    assert fitted["case"]["held_out"]["right"] == pytest.approx(0.5)
    code, unchanged = segment(model, study, tmp_path / "out", "--levels", "raw")
    assert code == 1 and unchanged == before, "made with another calibration: the user decides"
    assert "another calibration" in capsys.readouterr().err
    _, after = segment(model, study, tmp_path / "out", "--levels", "raw", "--overwrite")
    assert after["calibrated"] and not before["calibrated"]
    sure = {s["name"]: s["confidence"] for s in after["structures"]}
    assert sure != {s["name"]: s["confidence"] for s in before["structures"]}
    assert 0.2 < after["confidence"] < 0.8
    assert sum(sure.values()) / 2 == pytest.approx(0.75, abs=0.2), sure
    assert {s["name"]: s["voxels"] for s in after["structures"]} == {
        s["name"]: s["voxels"] for s in before["structures"]
    }, "labels stay"
    assert segment(model, study, tmp_path / "out", "--levels", "raw")[0] == 0
    assert read_calibration(model, "decoded") is None, "fitted for raw levels only"


def curve(**changes: Any) -> dict[str, Any]:
    made = {"kind": "logistic", "signs": ["formula"], "weights": [1.0], "bias": 0.0}
    return {"curve": made | changes}


def write_calibration(of: ModelInfo, structure: Any, **changes: Any) -> None:
    content = {
        "format_version": 1,
        "model": model_fingerprint(of),
        "levels": {"raw": {"structure": structure, "case": curve()}},
    }
    (of.folder / CALIBRATION).write_text(json.dumps(content | changes))


def test_a_calibration_file_is_read_as_it_says(model: ModelInfo) -> None:
    write_calibration(model, curve(weights=[2.0], bias=-1.0))
    found = read_calibration(model, "raw")
    shared = {"case": 1.0, "anchored": 1.0, "room": 1.0}
    doubtful, clear = {"formula": 0.5, **shared}, {"formula": 1.0, **shared}
    sure, of_all = level_confidence({2: doubtful, 3: clear}, found)
    assert sure == {2: pytest.approx(0.5), 3: pytest.approx(1 / (1 + np.exp(-1)))}
    assert of_all == sure[2], "by its own curve .62, but all are not likelier right than one"
    of_all = level_confidence({3: clear}, found)[1]
    assert of_all == pytest.approx(1 / (1 + np.exp(-1)))
    assert level_confidence({2: doubtful, 3: clear}, None) == ({2: 0.5, 3: 1.0}, 0.5)
    assert level_confidence({}, found) == ({}, 0.0), "nothing found is nothing to trust"


@pytest.mark.parametrize(
    ("structure", "changes", "said"),
    [
        (curve(weights=[-1.0]), {}, "misstates"),
        (curve(weights=[1.0, 2.0]), {}, "misstates"),
        (curve(weights=["much"]), {}, "misstates"),
        (curve(signs=["weight"]), {}, "misstates"),
        (curve(kind="forest"), {}, "misstates"),
        (curve(kind="isotonic", at=[0, 1], values=[0.5, 0.2]), {}, "misstates"),
        (curve(kind="isotonic", at=[0, 1], values=[0.5, 1.2]), {}, "misstates"),
        (None, {}, "misstates"),
        (curve(), {"model": "0123"}, "another model"),
        (curve(), {"format_version": 7}, "format 7"),
        (curve(), {"levels": []}, "misstates"),
    ],
)
def test_foreign_and_damaged_calibrations(
    structure: Any, changes: dict[str, Any], said: str, model: ModelInfo
) -> None:
    write_calibration(model, structure, **changes)
    with pytest.raises(CPS4Error, match=said) as error:
        read_calibration(model, "raw")
    assert "cps4 calibrate" in str(error.value) and CALIBRATION in str(error.value)


def test_a_cut_off_calibration_stops_the_segmentation(
    model: ModelInfo, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model.folder / CALIBRATION).write_text('{"format_version": 1, "mod')
    arguments = [str(study / "imagesTr"), "-o", str(tmp_path / "out"), "-m", str(model.folder)]
    assert main(["segment", *arguments]) == 2
    assert CALIBRATION in capsys.readouterr().err
