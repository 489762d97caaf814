"""Reliability: numbers of an example made by hand, and the diagram of an evaluation."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from CPS4Core.cli.main import main
from CPS4Core.evaluation.levels import right_levels
from CPS4Core.evaluation.reliability import reliability
from CPS4Core.schema import built_in_schema

SCHEMA = built_in_schema("mrspineseg")


def test_numbers_of_an_example_by_hand() -> None:
    found = reliability(
        [0.9, 0.9, 0.3, 0.3, 1.0], [True, False, False, False, True], [0.8, 0.2, 0, 0.1, 0.9]
    )
    filled = {b.low: b for b in found.bins if b.count}
    assert {low: b.count for low, b in filled.items()} == {0.3: 2, 0.9: 3}
    high = filled[0.9]
    assert high.right == pytest.approx(2 / 3) and high.dice == pytest.approx(1.9 / 3)
    assert high.confidence == pytest.approx(2.8 / 3)
    # Gaps: 2 of 5 with |.3 - 0|, 3 of 5 with |.9333 - .6667|.
    assert found.ece == pytest.approx(0.4 * 0.3 + 0.6 * (0.8 / 3))
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.09 + 0.09 + 0) / 5)
    # Of six pairs (right, wrong): the .9 wins 2 and draws 1, the 1.0 wins 3.
    assert found.auc == pytest.approx(5.5 / 6)
    assert found.count == 5 and found.right == pytest.approx(0.4)


def test_no_case_and_one_outcome_are_no_numbers() -> None:
    assert math.isnan(reliability([], []).ece) and math.isnan(reliability([], []).brier)
    certain = reliability([1.0, 1.0], [True, True])
    assert certain.ece == certain.brier == 0 and math.isnan(certain.auc)


def test_right_is_what_mostly_overlaps_its_own_truth() -> None:
    confusion = np.zeros((6, 6), np.int64)
    confusion[1, 1], confusion[2, 1] = 60, 40  # mostly itself
    confusion[2, 2], confusion[3, 2] = 40, 60  # mostly another
    confusion[0, 3] = 50  # nothing true is there
    confusion[4, 4], confusion[0, 4] = 10, 5  # right, but most of it is ignored
    ignored = np.array([0, 0, 0, 0, 100, 0])
    assert right_levels(confusion, ignored) == {1: True, 2: False, 3: False, 4: None}


# The command


def column(names: tuple[str, str, str]) -> sitk.Image:
    """Three boxes from below, the lowest with ignored voxels behind it."""
    labels = np.zeros((30, 16, 4), np.uint8)
    for (low, high), name in zip(((2, 10), (11, 14), (15, 23)), names, strict=True):
        value = next((s.value for s in SCHEMA.structures if s.name == name), 20)
        labels[low:high, 4:10] = value
    return sitk.GetImageFromArray(labels)


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Three cases: right, one level too high, and one whose upper box nobody knows."""
    labels = {s.name: s.value for s in SCHEMA.structures}
    root, predicted = tmp_path / "study", tmp_path / "predicted"
    for folder in (root / "labelsTr", predicted):
        folder.mkdir(parents=True)
    dataset = {"labels": {"background": 0, **labels, "ignore": 20}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(dataset))
    true, shifted = ("L5", "L4/L5", "L4"), ("L4", "L3/L4", "L3")
    for case, truth, named, sure in (
        ("a", true, true, 0.95),
        ("b", true, shifted, 0.25),
        ("c", (*true[:2], "ignore"), true, 0.75),
    ):
        sitk.WriteImage(column(truth), str(root / "labelsTr" / f"{case}.nii.gz"))
        sitk.WriteImage(column(named), str(predicted / f"{case}.nii.gz"))
        content = {
            "confidence": sure,
            "structures": [{"name": name, "confidence": sure} for name in named],
        }
        (predicted / f"{case}.json").write_text(json.dumps(content))
    return tmp_path


def evaluate(scored: Path) -> dict:
    arguments = [str(scored / "predicted"), str(scored / "study"), "-o", str(scored / "scores")]
    assert main(["evaluate", *arguments, "--no-distances", "--workers", "1"]) == 0
    return json.loads((scored / "scores" / "metrics.json").read_text())


def test_an_evaluation_tells_what_confidences_are_worth(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = evaluate(scored)
    assert "of a level's name" in capsys.readouterr().out
    of_levels, of_cases = (content["reliability"][n] for n in ("structures", "cases"))
    assert of_levels["count"] == 8, "what lies in the ignored region does not count"
    assert of_levels["right"] == pytest.approx(5 / 8) and of_levels["auc"] == 1
    assert of_levels["ece"] == pytest.approx((3 * 0.05 + 3 * 0.25 + 2 * 0.25) / 8)
    assert of_cases["count"] == 3 and of_cases["right"] == pytest.approx(2 / 3)
    bins = {round(b["low"], 1): b for b in of_levels["bins"] if b["count"]}
    assert bins[0.9]["dice"] == 1 and bins[0.2]["dice"] == 0
    scores = scored / "scores"
    with open(scores / "reliability.csv", newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["of"] == "structures"]
    assert len(rows) == 10 and rows[9]["count"] == "3" and rows[0]["right"] == ""
    with Image.open(scores / "reliability.png") as picture:
        assert min(picture.size) > 400
    assert main(["report", str(scores), "-o", str(scored / "r.html"), "--quiet"]) == 0
    assert "ECE 0.175" in (scored / "r.html").read_text()


def test_without_confidences_there_is_no_diagram(scored: Path) -> None:
    evaluate(scored)
    for path in (scored / "predicted").glob("*.json"):
        path.write_text('["of another program"]' if path.stem == "a" else "{cut")
    assert evaluate(scored)["reliability"] == {}
    assert not list((scored / "scores").glob("reliability*")), "not that of an earlier evaluation"
    assert main(["report", str(scored / "scores"), "-o", str(scored / "r.html"), "--quiet"]) == 0


def test_phantoms_with_hidden_sacrum_as_a_study(tmp_path: Path) -> None:
    counts = ["--labelled", "1", "--unlabelled", "0", "--val", "0", "--test", "1"]
    for sacrum in ("hidden", "visible"):
        out = tmp_path / sacrum
        options = [*counts, "--size", "96", "--sacrum", sacrum, "--quiet"]
        assert main(["study", "phantom", str(out), *options]) == 0
        shown = {
            int(v)
            for path in (out / "labelsTr").iterdir()
            for v in np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
        }
        assert ({1, 11} <= shown) is (sacrum == "visible") and {3, 4} <= shown
