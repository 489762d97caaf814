"""`cps4 evaluate` on folders: matching, bad cases, splits, the files it writes and exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CPS4Core.cli.main import main
from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.matching import label_files, schema_of
from CPS4Core.schema import built_in_schema

# Sagittal slices along x, as a scanner stores them: array axes are z (up), y (back), x (left).
SPACING = (4.0, 0.5, 0.5)


def write(path: Path, array: np.ndarray, spacing: tuple[float, ...] = SPACING) -> None:
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def column() -> np.ndarray:
    """L5 (2), L4/L5 (12) and L4 (3) one above the other, and ignored voxels (20) behind L5."""
    labels = np.zeros((30, 16, 4), dtype=np.uint8)
    labels[2:10, 4:10], labels[11:14, 4:10], labels[15:23, 4:10] = 2, 12, 3
    labels[2:10, 10:14] = 20
    return labels


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two labelled cases, and predictions: `a` perfect, `b` one level too high."""
    root = tmp_path / "study"
    truth = column()
    names = [s.name for s in built_in_schema("mrspineseg").structures]
    labels = {"background": 0, **{n: i for i, n in enumerate(names, 1)}, "ignore": 20}
    root.mkdir()
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    splits = {"test": ["a"], "val": ["b"], "train": []}
    (root / "splits.json").write_text(json.dumps(splits))
    for case in "ab":
        write(root / "labelsTr" / f"{case}.nii.gz", truth)
    perfect = np.where(truth == 20, 2, truth)
    shifted = np.select([perfect == 2, perfect == 12, perfect == 3], [3, 13, 4])
    write(tmp_path / "predicted" / "a.nii.gz", perfect)
    write(tmp_path / "predicted" / "b.nii.gz", shifted)
    return root


def evaluate(tmp_path: Path, labels: Path, *options: str) -> tuple[int, dict]:
    out = tmp_path / "scores"
    code = main(
        ["--quiet", "evaluate", str(tmp_path / "predicted"), str(labels), "-o", str(out), *options]
        + ([] if "--workers" in options else ["--workers", "1"])
    )
    return code, json.loads((out / "metrics.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_whole_command(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "scores"
    arguments = [str(tmp_path / "predicted"), str(study / "labelsTr"), "--output", str(out)]
    assert main(["evaluate", *arguments, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    content = json.loads((out / "metrics.json").read_text())
    summary = content["summary"]
    # Case a is perfect. In b only L4 is both true and predicted, at different places: four classes.
    assert summary["dice"] == {"mean": 0.5, "sd": pytest.approx(np.sqrt(0.5)), "cases": 2}
    assert summary["dice_best_shift"]["mean"] == 1.0
    assert summary["shape_dice_vertebrae"]["mean"] == 1.0
    assert summary["every_level_right"]["mean"] == 0.5
    assert summary["spurious"]["mean"] == summary["missed"]["mean"] == 1.0
    assert content["cases"]["b"]["measures"]["best_shift"] == -1
    assert content["cases"]["a"]["spacing_mm"] == [4.0, 0.5, 0.5]
    assert content["cases"]["a"]["measures"]["hd95"] == 0.0
    # L4's box of case b lies 13 rows of 0.5 mm too low, in 3D and in the plane alike.
    assert content["cases"]["b"]["measures"]["hd95_2d"] == pytest.approx(6.5, abs=0.5)
    assert content["code"]["CPS4Core"] and content["settings"]["tolerances"] == [1.0, 2.0]
    assert str(tmp_path) not in (out / "metrics.json").read_text()
    by_case = {r["case"]: r for r in rows(out / "cases.csv")}
    assert float(by_case["a"]["dice"]) == 1.0 and float(by_case["b"]["dice"]) == 0.0
    by_class = {(r["case"], r["class"]): r for r in rows(out / "classes.csv")}
    assert by_class["b", "L5"]["outcome"] == "missed"
    assert by_class["b", "L5"]["named_as"] == "L4"
    assert by_class["b", "L5"]["hd95"] == ""
    of_class = {(r["measure"], r["class"]): r for r in rows(out / "summary.csv")}
    assert float(of_class["dice", "L5"]["mean"]) == 0.5
    assert "0.500 (0.707)" in printed and "HD95 mm in-plane" in printed and "L4/L5" in printed


def test_a_missing_prediction_counts_nothing_but_is_reported(study: Path, tmp_path: Path) -> None:
    (tmp_path / "predicted" / "b.nii.gz").unlink()
    code, content = evaluate(tmp_path, study, "--no-distances")
    assert code == 1
    assert "no prediction" in content["failures"]["b"]
    assert content["summary"]["dice"] == {
        "mean": 0.5,
        "sd": pytest.approx(np.sqrt(0.5)),
        "cases": 2,
    }
    assert content["cases"]["b"]["measures"]["level_identification"] == 0
    code, content = evaluate(tmp_path, study, "--no-distances", "--allow-missing")
    assert code == 0
    assert content["summary"]["dice"]["mean"] == 1.0 and content["left_out"] == ["b"]


@pytest.mark.parametrize("fault", ["text", "shape", "spacing", "foreign"])
def test_a_bad_prediction_does_not_stop_the_rest(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture, fault: str
) -> None:
    bad = tmp_path / "predicted" / "b.nii.gz"
    if fault == "text":
        bad.write_text("not an image")
    elif fault == "shape":
        write(bad, column()[:-1])
    elif fault == "spacing":
        write(bad, column(), (4.0, 1.0, 0.5))
    else:
        write(bad, np.full_like(column(), 99))
    code, content = evaluate(tmp_path, study, "--no-distances")
    assert code == 1
    assert list(content["failures"]) == ["b"]
    assert content["cases"]["a"]["measures"]["dice"] == 1.0
    assert content["cases"]["b"]["measures"]["dice"] == 0.0
    assert str(tmp_path) not in json.dumps(content)
    assert "error: b: " in capsys.readouterr().err


def test_a_bad_label_map_is_left_out(study: Path, tmp_path: Path) -> None:
    (study / "labelsTr" / "b.nii.gz").write_bytes(b"")
    code, content = evaluate(tmp_path, study, "--no-distances")
    assert code == 1
    assert list(content["cases"]) == ["a"] and "label map" in content["failures"]["b"]
    failed = [r for r in rows(tmp_path / "scores" / "cases.csv") if r["error"]]
    assert [r["case"] for r in failed] == ["b"]


def test_split_and_workers(study: Path, tmp_path: Path) -> None:
    code, content = evaluate(tmp_path, study, "--no-distances", "--split", "test")
    assert code == 0 and list(content["cases"]) == ["a"]
    assert content["settings"]["split"] == "test"
    code, both = evaluate(tmp_path, study, "--no-distances", "--workers", "2")
    assert list(both["cases"]) == ["a", "b"]
    assert both["cases"]["a"] == content["cases"]["a"]


def test_predictions_in_another_schema(study: Path, tmp_path: Path) -> None:
    for case in "ab":
        path = tmp_path / "predicted" / f"{case}.nii.gz"
        labels = np.where(column() == 20, 0, column())
        spider = built_in_schema("mrspineseg").remap(labels, built_in_schema("spider"))
        write(path, spider)
    code, content = evaluate(tmp_path, study, "--no-distances", "--prediction-schema", "spider")
    assert code == 0 and content["summary"]["dice"]["mean"] == 1.0


def test_rare_levels_can_be_named(study: Path, tmp_path: Path) -> None:
    _, content = evaluate(tmp_path, study, "--no-distances", "--rare", "L5, L3, L3/L4")
    b = content["cases"]["b"]["measures"]
    # Without L5 (missed), L3 and L3/L4 (spurious) b has L4 and L4/L5 left, both 0.
    assert content["settings"]["rare"] == ["L5", "L3", "L3/L4"]
    assert (b["dice"], b["dice_without_rare"]) == (0.0, 0.0)
    assert content["cases"]["a"]["measures"]["dice_without_rare"] == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--schema", "nonsense"], "neither a built-in"),
        (["--rare", "L9"], "No structure 'L9'"),
        (["--tolerances", "1,x"], "tolerances"),
        (["--split", "holdout"], "no part 'holdout'"),
        (["--splits", "x.json"], "needs --split"),
        (["--workers", "0"], "Give 1 or more"),
    ],
)
def test_wrong_options(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], words: str
) -> None:
    folders = [str(tmp_path / "predicted"), str(study), "--output", str(tmp_path / "scores")]
    assert main(["evaluate", *folders, *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "scores" / "metrics.json").exists()


def test_folders_that_cannot_match(study: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for predictions, labels in (("empty", study), ("predicted", tmp_path / "empty")):
        folders = [str(tmp_path / predictions), str(labels), "--output", str(tmp_path / "scores")]
        assert main(["--quiet", "evaluate", *folders]) == 2


def test_the_schema_comes_from_the_study(study: Path, tmp_path: Path) -> None:
    assert schema_of(study / "labelsTr").ignore_value == 20
    assert schema_of(tmp_path).name == built_in_schema("mrspineseg").name
    assert schema_of(tmp_path, "spider").name == built_in_schema("spider").name


def test_two_files_of_one_case_are_refused(study: Path) -> None:
    write(study / "labelsTr" / "a.nrrd", column())
    with pytest.raises(CPS4Error, match="Two files are of case 'a'"):
        label_files(study / "labelsTr")
