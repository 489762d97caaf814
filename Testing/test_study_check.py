"""`cps4 study check` and `show`: each kind of damage is named with its file and a cure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_samples import SIZE, image_array, label_array, make_study, volume, write

from CPS4Core.cli.main import main
from CPS4Core.progress import Progress
from CPS4Core.study.check import check_study
from CPS4Core.study.folder import DATASET, SPLITS, Study
from CPS4Core.study.show import show_study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study")


def image(folder: Path, n: int) -> Path:
    return folder / "imagesTr" / f"case_{n:02d}_0000.nii.gz"


def label(folder: Path, n: int) -> Path:
    return folder / "labelsTr" / f"case_{n:02d}.nii.gz"


def test_a_sound_study_has_no_problem(folder: Path) -> None:
    assert check_study(folder) == []


def _moved_label(folder: Path) -> Path:
    moved = volume(label_array(0))
    moved.SetOrigin((0, 0, 0))
    sitk.WriteImage(moved, str(label(folder, 0)))
    return label(folder, 0)


def _cropped_label(folder: Path) -> Path:
    return write(label_array(0)[:-1], label(folder, 0))


def _foreign(folder: Path) -> Path:
    return write(label_array(1, (2, 42, 57)), label(folder, 1))


def _empty(folder: Path) -> Path:
    return write(np.zeros(SIZE, np.uint8), label(folder, 2))


def _four_d(folder: Path) -> Path:
    joined = sitk.JoinSeries([sitk.GetImageFromArray(image_array(i)) for i in range(3)])
    sitk.WriteImage(joined, str(image(folder, 4)))
    return image(folder, 4)


def _nan(folder: Path) -> Path:
    array = image_array(4).astype(np.float32)
    array[0, 0, 0] = np.nan
    return write(array, image(folder, 4))


def _infinite(folder: Path) -> Path:
    array = image_array(4).astype(np.float64)
    array[1, 1, 1] = -np.inf
    return write(array, image(folder, 4))


def _constant(folder: Path) -> Path:
    return write(np.full(SIZE, 7, np.int16), image(folder, 5))


def _text(folder: Path) -> Path:
    image(folder, 5).write_text("version https://git-lfs.github.com/spec/v1\n")
    return image(folder, 5)


def _truncated(folder: Path) -> Path:
    content = image(folder, 3).read_bytes()
    image(folder, 3).write_bytes(content[: len(content) // 2])
    return image(folder, 3)


def _copied(folder: Path) -> Path:
    shutil.copy(image(folder, 1), image(folder, 5))
    return image(folder, 5)


def _two_endings(folder: Path) -> Path:
    return write(image_array(70), folder / "imagesTr" / "case_01_0000.nii")


def _other_ending(folder: Path) -> Path:
    return write(image_array(71), folder / "imagesTr" / "new_0000.mha")


def _orphan_label(folder: Path) -> Path:
    return write(label_array(9), folder / "labelsTr" / "case_99.nii.gz")


def _no_channel(folder: Path) -> Path:
    return write(image_array(72), folder / "imagesTr" / "plain.nii.gz")


def _leak_into_test(folder: Path) -> Path:
    target = folder / "imagesTs" / "held_0000.nii.gz"
    target.parent.mkdir()
    shutil.copy(image(folder, 0), target)
    return target


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_moved_label, "origin"),
        (_cropped_label, "size"),
        (_foreign, "42, 57"),
        (_empty, "empty"),
        (_four_d, "4D"),
        (_nan, "1 voxels are not finite"),
        (_infinite, "not finite"),
        (_constant, "constant: every voxel is 7"),
        (_text, "text file"),
        (_truncated, "cut off"),
        (_copied, "same image as case 'case_01'"),
        (_two_endings, "two endings"),
        (_other_ending, "not read"),
        (_orphan_label, "without an image"),
        (_no_channel, "no channel"),
        (_leak_into_test, "one for test and one for train"),
    ],
)
def test_each_damage_is_the_one_error_with_its_file_and_cure(
    folder: Path, damage: Callable[[Path], Path], words: str
) -> None:
    path = damage(folder)
    problems = check_study(folder)
    assert [(p.severity, p.path) for p in problems] == [("error", path)]
    assert words in problems[0].cause
    assert problems[0].case and problems[0].case in path.name
    assert len(problems[0].cure) > 10


def test_float_images_without_nan_are_sound(folder: Path) -> None:
    write(image_array(4) / np.float32(7), image(folder, 4))
    assert check_study(folder) == []


def test_studies_without_labelled_or_unlabelled_cases(tmp_path: Path) -> None:
    bare = check_study(make_study(tmp_path / "a", labelled=0, unlabelled=2))
    assert ("error", "No case has a label") in [(p.severity, p.cause) for p in bare]
    full = check_study(make_study(tmp_path / "b", labelled=2, unlabelled=0))
    assert [p.severity for p in full] == ["warning"]


def test_what_spoils_the_whole_study_is_one_problem(folder: Path) -> None:
    (folder / DATASET).unlink()
    (problem,) = check_study(folder)
    assert problem.path == folder / DATASET and "no dataset.json" in problem.cause


def test_wrong_splits_are_found(folder: Path) -> None:
    content = {
        "test": ["case_77"],
        "val": ["case_05"],
        "train": ["case_00", "case_01", "case_88"],
    }
    (folder / SPLITS).write_text(json.dumps(content))
    found = {(p.severity, p.case) for p in check_study(folder)}
    assert found == {("warning", "case_77"), ("error", "case_05"), ("error", "case_88")}
    shutil.copy(image(folder, 0), image(folder, 5))
    causes = [p.cause for p in check_study(folder) if p.path == image(folder, 5)]
    assert "one for train and one for val" in causes[0]
    content["train"] = ["case_05"]
    (folder / SPLITS).write_text(json.dumps(content))
    assert any("'train' and in 'val'" in p.cause for p in check_study(folder))


def test_what_nnunet_would_refuse_is_a_warning(folder: Path) -> None:
    content = json.loads((folder / DATASET).read_text())
    del content["dataset"]
    (folder / DATASET).write_text(json.dumps(content))
    (problem,) = check_study(folder)
    assert problem.severity == "warning" and "2 images of imagesTr have no label" in problem.cause
    shutil.rmtree(folder / "imagesTr")
    for n in range(4):
        write(image_array(n), image(folder, n))
    (folder / DATASET).write_text(json.dumps(content | {"numTraining": 9}))
    assert any("numTraining is 9" in p.cause for p in check_study(folder))


def test_the_command_exits_by_errors_and_writes_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "check", str(folder)]) == 0
    _foreign(folder)
    _empty(folder)
    out = tmp_path / "problems.json"
    assert main(["study", "check", str(folder), "--output", str(out)]) == 1
    text = capsys.readouterr().out
    assert "labelsTr/case_01.nii.gz" in text and "Errors: 2, warnings: 0" in text
    saved = json.loads(out.read_text())
    assert [p["case"] for p in saved] == ["case_01", "case_02"]
    assert main(["study", "check", str(folder), "--json"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e for e in events if e["event"] == "problem"] == [
        {"event": "problem"} | p for p in saved
    ]


def test_show_lists_use_geometry_and_structures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _truncated(folder)
    image(folder, 4).write_text("no image")
    rows = {row.case: row for row in show_study(Study.open(folder), progress=Progress())}
    first = rows["case_00"]
    assert (first.use, first.size, first.spacing) == ("labelled", (10, 12, 4), (0.5, 0.75, 4.0))
    assert (first.orientation, first.labels) == ("PIR", ("L5", "L4", "L5/S"))
    assert rows["case_05"].use == "unlabelled" and rows["case_05"].labels is None
    assert "cannot be read" in rows["case_04"].note
    assert main(["study", "show", str(folder), "--labelled", "1"]) == 0
    table = capsys.readouterr().out
    uses = [line.split()[1] for line in table.splitlines()[1:7]]
    assert sorted(uses) == ["labelled", *["unlabelled"] * 4, "val"]
    assert "10 x 12 x 4" in table and "L5 L4 L5/S" in table


def test_the_benchmark_data_has_no_error(real_data: Path) -> None:
    folder = real_data / "spider-t2space"
    if not folder.is_dir():
        pytest.skip("needs spider-t2space")
    problems = check_study(folder)
    assert [p for p in problems if p.severity == "error"] == []
    assert ["nnU-Net would refuse" in p.cause for p in problems] == [True]
