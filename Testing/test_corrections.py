"""Corrections come into a study: complete or not at all, earlier labels kept, taken as labelled."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from study_samples import SIZE, image_array, label_array, make_study, volume, write
from worker_process import ROOT, WorkerProcess

from CPS4Core import files
from CPS4Core.cli.main import main
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.schema import built_in_schema
from CPS4Core.study import correction
from CPS4Core.study.check import check_study
from CPS4Core.study.correction import Submission, submit_correction
from CPS4Core.study.correction_record import corrected, record_problems
from CPS4Core.study.folder import DATASET, SPLITS, Study, write_dataset_json
from CPS4Core.study.problem import ERROR
from CPS4Core.volumes.writing import write_segmentation

SCHEMA = built_in_schema("mrspineseg")
WHEN = datetime(2026, 3, 1, 12, 30, tzinfo=timezone.utc)
MODEL = {"name": "starter", "fingerprint": "0123456789abcdef", "folder": "/home/jane/models"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study")


def scan(folder: Path, seed: int, name: str = "volume.nrrd") -> Path:
    return write(image_array(seed), folder / "out" / name)


def drawn(folder: Path, seed: int, values: tuple[int, ...] = (2, 12), name: str = "l.nrrd") -> Path:
    return write(label_array(seed, values), folder / "out" / name)


def submit(study: Path, case: str, seed: int, label: int = 50, **options: Any) -> Submission:
    """Submit label number `label` on the image number `seed`, by A. B."""
    volume_file, label_file = scan(study.parent, seed), drawn(study.parent, label)
    options = {"author": "A. B.", "model": MODEL, "when": WHEN, "schema": SCHEMA} | options
    return submit_correction(study, case, volume_file, label_file, **options)


def record(study: Path, case: str) -> list[dict[str, Any]]:
    return json.loads((study / "corrections" / f"{case}.json").read_text())["versions"]


def array(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def errors(study: Path) -> list[str]:
    return [problem.cause for problem in check_study(study) if problem.severity == ERROR]


def test_an_unlabelled_case_becomes_a_labelled_one(study: Path) -> None:
    image = study / "imagesTr" / "case_04_0000.nii.gz"
    before = image.read_bytes(), image.stat().st_mtime_ns
    done = submit(study, "case_04", 4, note="  L5 redrawn ")
    assert done == Submission(
        case="case_04",
        image=image,
        label=study / "labelsTr" / "case_04.nii.gz",
        version=1,
        split="train",
        labelled=5,
        unlabelled=1,
        warnings=done.warnings,
    )
    assert (image.read_bytes(), image.stat().st_mtime_ns) == before
    np.testing.assert_array_equal(array(done.label), label_array(50, (2, 12)))
    (version,) = record(study, "case_04")
    assert version == {
        "version": 1,
        "label": version["label"],
        "author": "A. B.",
        "when": "2026-03-01T12:30:00+00:00",
        "note": "L5 redrawn",
        "model": {"name": "starter", "fingerprint": "0123456789abcdef"},
        "structures": ["L5", "L4/L5"],
    }
    written = (study / "corrections" / "case_04.json").read_text()
    assert "/home" not in written and str(study.parent) not in written
    dataset = json.loads((study / DATASET).read_text())
    assert dataset["numTraining"] == 5 and "case_04" in dataset["dataset"]
    assert errors(study) == []
    assert "case_04" in Study.open(study).select("all").labelled


def test_earlier_labels_are_kept(study: Path) -> None:
    label = study / "labelsTr" / "case_01.nii.gz"
    original = label.read_bytes()
    assert submit(study, "case_01", 1, 50).version == 2
    second = label.read_bytes()
    assert submit(study, "case_01", 1, 51, author="C. D.", model=None).version == 3
    kept = study / "corrections" / "case_01"
    assert (kept / "label_v1.nii.gz").read_bytes() == original
    assert (kept / "label_v2.nii.gz").read_bytes() == second
    assert sorted(p.name for p in kept.iterdir()) == ["label_v1.nii.gz", "label_v2.nii.gz"]
    known = [(v["version"], v["author"], v["model"] is None) for v in record(study, "case_01")]
    assert known == [(1, None, True), (2, "A. B.", False), (3, "C. D.", True)]
    np.testing.assert_array_equal(array(label), label_array(51, (2, 12)))
    assert check_study(study) == check_study(make_study(study.parent / "untouched"))


def test_the_same_again_changes_nothing(study: Path) -> None:
    first = submit(study, "case_04", 4)
    before = tree(study)
    assert submit(study, "case_04", 4, author="Somebody else") == first
    assert tree(study) == before


def test_a_label_changed_by_hand_is_kept_too(study: Path) -> None:
    submit(study, "case_04", 4)
    by_hand = write(label_array(77, (3,)), study / "labelsTr" / "case_04.nii.gz").read_bytes()
    assert submit(study, "case_04", 4, 51).version == 3
    kept = study / "corrections" / "case_04" / "label_v2.nii.gz"
    assert kept.read_bytes() == by_hand
    assert [v["author"] for v in record(study, "case_04")] == ["A. B.", None, "A. B."]


def test_a_new_case_brings_its_image(study: Path) -> None:
    done = submit(study, "new-1", 99)
    assert done.image == study / "imagesTr" / "new-1_0000.nii.gz"
    np.testing.assert_array_equal(array(done.image), image_array(99))
    assert (done.version, done.labelled, done.unlabelled) == (1, 5, 2)
    label, image = sitk.ReadImage(str(done.label)), sitk.ReadImage(str(done.image))
    assert label.GetOrigin() == image.GetOrigin() and label.GetDirection() == image.GetDirection()
    assert errors(study) == []


def test_structures_are_found_by_name_and_by_code(study: Path) -> None:
    """SPIDER numbers L5 as 1 and L5/S as 201; MRSpineSeg as 2 and 11. A renamed L4 has its code."""
    spider = built_in_schema("spider")
    renamed = replace(
        spider,
        structures=tuple(
            replace(s, name="fourth", full_name="fourth lumbar") if s.name == "L4" else s
            for s in spider.structures
        ),
    )
    values = {s.name: s.value for s in renamed.structures}
    labels = np.zeros(SIZE, np.uint8)
    labels[1, 2, :3], labels[1, 3, :3] = values["L5"], values["fourth"]
    labels[1, 4, :3] = values["L5/S"]
    path = write(labels, study.parent / "spider.nrrd")
    done = submit_correction(study, "case_04", scan(study.parent, 4), path, renamed, "A")
    found = array(done.label)
    assert [found[1, row, 0] for row in (2, 3, 4)] == [2, 3, 11]
    assert set(np.unique(found)) == {0, 2, 3, 11}


def test_a_segmentation_of_slicer_is_read_by_its_names(study: Path) -> None:
    path = study.parent / "own.seg.nrrd"
    write_segmentation(volume(label_array(50, (2, 12))), path, SCHEMA)
    # Slicer renumbers segments by their order; the names stay.
    image = sitk.ReadImage(str(path))
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    swapped = sitk.ChangeLabel(image, {2: 1, 12: 2})
    for key, text in keys.items():
        swapped.SetMetaData(key, {"2": "1", "12": "2"}[text] if "LabelValue" in key else text)
    sitk.WriteImage(swapped, str(path))
    done = submit_correction(study, "case_04", scan(study.parent, 4), path, SCHEMA, "A")
    np.testing.assert_array_equal(array(done.label), label_array(50, (2, 12)))


def test_the_ignore_label_needs_one_in_the_study(tmp_path: Path) -> None:
    with_ignore = replace(SCHEMA, ignore_value=99)
    plain = make_study(tmp_path / "plain")
    label = drawn(tmp_path, 50, (2, 99))
    with pytest.raises(CPS4Error, match="does not know ignore"):
        submit_correction(plain, "case_04", scan(tmp_path, 4), label, with_ignore, "A")
    other = make_study(tmp_path / "other", schema=replace(SCHEMA, ignore_value=20))
    done = submit_correction(other, "case_04", scan(tmp_path, 4), label, with_ignore, "A")
    assert set(np.unique(array(done.label))) == {0, 2, 20}


def _moved(study: Path) -> dict[str, Any]:
    moved = volume(label_array(50))
    moved.SetOrigin((0, 0, 0))
    path = study.parent / "moved.nrrd"
    sitk.WriteImage(moved, str(path))
    return {"label": path}


def _shifted_image(study: Path) -> dict[str, Any]:
    image = volume(image_array(4))
    image.SetOrigin((0, 0, 0))
    path, label = study.parent / "shifted.nrrd", study.parent / "shifted_label.nrrd"
    sitk.WriteImage(image, str(path))
    labels = volume(label_array(50))
    labels.SetOrigin((0, 0, 0))
    sitk.WriteImage(labels, str(label))
    return {"volume": path, "label": label}


def _foreign_study(study: Path) -> dict[str, Any]:
    folder = study.parent / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("x")
    return {"study": folder}


def _unknown(study: Path) -> dict[str, Any]:
    return {"label": drawn(study.parent, 50, (2, 1)), "schema": built_in_schema("totalspineseg")}


REFUSED: dict[str, tuple[Any, str]] = {
    "no case id": ({"case": ""}, "cannot be a case id"),
    "a path as case id": ({"case": "../evil"}, "cannot be a case id"),
    "nobody": ({"author": "  "}, "not said who"),
    "another grid": (_moved, "does not lie on its image's grid: its origin"),
    "an empty label": (lambda s: {"label": drawn(s.parent, 5, ())}, "label is empty"),
    "values without a name": (
        lambda s: {"label": drawn(s.parent, 5, (2, 77))},
        "Label values 77 are not in the schema",
    ),
    "unknown structures": (_unknown, "does not know"),
    "another image": (lambda s: {"case": "case_03"}, "another image as case 'case_03'.*voxels"),
    "another place": (_shifted_image, "another image as case 'case_04'.*origin"),
    "the same image": (lambda s: {"case": "copy"}, "holds this image already, as case 'case_04'"),
    "a constant image": (
        lambda s: {"case": "n", "volume": write(np.ones(SIZE), s.parent / "flat.nrrd")},
        "image is constant",
    ),
    "no study": (_foreign_study, "not empty and no study"),
    "a file as study": (lambda s: {"study": scan(s.parent, 4)}, "no study"),
    "no volume": ({"volume": Path("missing.nrrd")}, "does not exist"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused_and_the_study_stays(kind: str, study: Path) -> None:
    change, said = REFUSED[kind]
    arguments = {
        "study": study,
        "case": "case_04",
        "volume": scan(study.parent, 4),
        "label": drawn(study.parent, 50),
        "schema": SCHEMA,
        "author": "A",
    }
    arguments |= change(study) if callable(change) else change
    before = tree(study)
    with pytest.raises(CPS4Error, match=f"(?s){said}") as caught:
        submit_correction(**arguments)
    assert caught.value.cure or kind in ("values without a name",)
    assert tree(study) == before and not list(study.rglob(".partial*"))


def test_a_folder_becomes_a_study(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "empty"):
        if folder.name == "empty":
            folder.mkdir()
        done = submit(folder, "first", 4)
        assert done.study_created and (done.labelled, done.unlabelled) == (1, 0)
        assert done.image == folder / "imagesTr" / "first_0000.nii.gz" and done.image.is_file()
        opened = Study.open(folder)
        assert opened.schema == SCHEMA and opened.labelled == ["first"]
        assert opened.dataset["name"] == folder.name
        killed = tmp_path / f".partial-0123abcd-{folder.name}"  # an earlier try, long ago
        (killed / "imagesTr").mkdir(parents=True)
        os.utime(killed, (0, 0))
        assert not submit(folder, "second", 5).study_created
        assert errors(folder) == []
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_held_out_and_unused_labels_are_said(study: Path) -> None:
    splits = {
        "test": ["case_00"],
        "val": ["case_01"],
        "train": ["case_02", "case_03", "case_04"],
        "always_unlabelled": ["case_03"],
    }
    (study / SPLITS).write_text(json.dumps(splits))
    for case, split, said in (
        ("case_00", "test", "cannot be compared"),
        ("case_01", "val", "cannot be compared"),
        ("case_03", "unlabelled", "always_unlabelled"),
        ("case_04", "train", ""),
    ):
        done = submit(study, case, int(case[-2:]))
        assert done.split == split
        assert said in " ".join(done.warnings) and bool(done.warnings) == bool(said)
    assert json.loads((study / SPLITS).read_text()) == splits
    (study / SPLITS).unlink()
    assert "cps4 study split" in submit(study, "case_05", 5).warnings[0]


def test_a_test_case_of_nnunet_stays_one(study: Path) -> None:
    write(image_array(60), study / "imagesTs" / "held_0000.nii.gz")
    done = submit(study, "held", 60)
    assert done.label == study / "labelsTs" / "held.nii.gz" and done.split == "test"
    assert "held" not in Study.open(study).cases
    assert done.labelled == 4 and errors(study) == []
    assert submit(study, "held", 60, 51).version == 2


def test_a_case_that_lies_elsewhere_comes_in(tmp_path: Path) -> None:
    """nnU-Net's table `dataset` may name files outside of the study; those are not touched."""
    study = make_study(tmp_path / "study")
    image = write(image_array(70), tmp_path / "far" / "x.nii.gz")
    label = write(label_array(70), tmp_path / "far" / "x_label.nii.gz")
    content = json.loads((study / DATASET).read_text())
    entry = {"images": ["../far/x.nii.gz"], "label": "../far/x_label.nii.gz"}
    content["dataset"] = (content.get("dataset") or {}) | {"far": entry}
    (study / DATASET).write_text(json.dumps(content))
    before = image.read_bytes(), label.read_bytes()
    done = submit(study, "far", 70)
    assert done.version == 2 and done.image.parent == study / "imagesTr"
    assert (image.read_bytes(), label.read_bytes()) == before
    kept = study / "corrections" / "far" / "label_v1.nii.gz"
    assert kept.read_bytes() == label.read_bytes()
    assert Study.open(study).cases["far"].label == done.label and errors(study) == []


@pytest.mark.parametrize("case", ["case_01", "case_04", "new", "first"])
@pytest.mark.parametrize("step", ["fsync", "replace", "copyfile", "makedirs"])
def test_a_full_disk_at_any_write_leaves_the_study_as_it_was(
    step: str, case: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = {
        "fsync": (files.os, "fsync"),
        "replace": (files.os, "replace"),
        "copyfile": (correction.shutil, "copyfile"),
        "makedirs": (Path, "mkdir"),
    }[step]
    folder = study.parent / "fresh" if case == "first" else study
    seed = {"case_01": 1, "case_04": 4}.get(case, 99)
    scan(study.parent, seed), drawn(study.parent, 50)
    before, real = tree(folder), getattr(owner, name)
    for number in range(100):
        calls: list[int] = []

        def fail(*a: Any, calls: list[int] = calls, number: int = number, **k: Any) -> Any:
            calls.append(1)
            if len(calls) == number + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*a, **k)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            try:
                submit_drawn(folder, case, seed)
            except CPS4Error as error:
                failed = error
            else:
                break
        assert "No space left" in str(failed) and "Free some space" in str(failed)
        assert ".partial" not in str(failed)
        if "dataset.json" not in str(failed):
            assert without_records(tree(folder)) == without_records(before)
        assert not folder.exists() or errors(folder) == []
    else:
        pytest.fail("it never came through")
    assert number > 0 or (step, case) in UNUSED
    assert array(folder / "labelsTr" / f"{case}.nii.gz").any()


UNUSED = [("copyfile", case) for case in ("case_04", "new", "first")]
"""Where there is no earlier label, none is copied."""


def without_records(files_: dict[str, bytes]) -> dict[str, bytes]:
    """A record may announce a version that did not come; the labels tell."""
    return {name: content for name, content in files_.items() if "corrections" not in name}


def submit_drawn(study: Path, case: str, seed: int) -> Submission:
    out = study.parent / "out"
    return submit_correction(study, case, out / "volume.nrrd", out / "l.nrrd", SCHEMA, "A. B.")


KILL = """
import os, sys
from pathlib import Path
from CPS4Core.schema import built_in_schema
from CPS4Core.study.correction import submit_correction

study, case, step, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
real, calls = getattr(os, step), []


def kill(*a, **k):
    calls.append(1)
    if len(calls) == number:
        os._exit(9)
    return real(*a, **k)


setattr(os, step, kill)
out = study.parent / "out"
schema = built_in_schema("mrspineseg")
submit_correction(study, case, out / "volume.nrrd", out / "l.nrrd", schema, "A. B.")
"""


@pytest.mark.parametrize(
    ("case", "seed", "version"), [("case_01", 1, 2), ("new", 99, 1), ("first", 99, 1)]
)
def test_killed_at_any_step_the_study_is_valid_and_goes_on(
    case: str, seed: int, version: int, tmp_path: Path
) -> None:
    """A real process that dies just before each rename, of a file or a folder."""
    for step in ("replace", "rename"):
        for number in range(1, 30):
            place = tmp_path / f"{step}{number}"
            study = place / "study"
            label, old = study / "labelsTr" / f"{case}.nii.gz", None
            if case != "first":
                make_study(study)
                old = label.read_bytes() if label.is_file() else None
            scan(study.parent, seed), drawn(study.parent, 50)
            done = subprocess.run(
                [sys.executable, "-c", KILL, str(study), case, step, str(number)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                timeout=60,
            )
            if (study / DATASET).is_file():
                assert errors(study) == []
                assert label.is_file() or old is None
            else:
                assert case == "first" and not study.exists(), "no half study"
            if done.returncode == 0:
                break
            assert done.returncode == 9
            left = label.read_bytes() if label.is_file() else None
            again = submit(study, case, seed)
            assert left in (old, again.label.read_bytes()), "the old label or the new one"
            assert again.version == version
            assert len(record(study, case)) == version
            assert errors(study) == []
            if version == 2:
                kept = study / "corrections" / case / "label_v1.nii.gz"
                assert kept.read_bytes() == old
        else:
            pytest.fail("it never came through")
        assert number > 1 or (step, case) != ("rename", "first")


def test_cancelling_before_the_end_changes_nothing(study: Path) -> None:
    progress = Progress()
    progress.cancel()
    before = tree(study)
    with pytest.raises(Cancelled):
        submit(study, "case_04", 4, progress=progress)
    assert tree(study) == before


def test_check_says_what_does_not_go_together(study: Path) -> None:
    for number in (4, 1, 2, 3, 0):
        submit(study, f"case_{number:02d}", number, 50 + number)
    assert list(record_problems(Study.open(study))) == []
    records, labels = study / "corrections", study / "labelsTr"
    write(label_array(77, (3,)), labels / "case_04.nii.gz")  # changed by hand
    (records / "case_01" / "label_v1.nii.gz").unlink()
    (records / "case_02.json").write_text("{")
    (records / "case_03.json").write_text('{"format_version": 99, "versions": []}')
    shutil.copy(records / "case_00" / "label_v1.nii.gz", labels / "case_00.nii.gz")
    found = {p.case: p for p in check_study(study) if p in [*record_problems(Study.open(study))]}
    for case, said in {
        "case_00": "version 2 by A. B. was interrupted, or an earlier label was put back",
        "case_01": "Version 1 of the label is not kept",
        "case_02": "cannot be read",
        "case_03": "format 99",
        "case_04": "changed since its last correction (version 1 by A. B.)",
    }.items():
        assert said in found[case].cause and found[case].cure
    assert errors(study) == [], "none of it keeps from training"
    assert list(corrected(Study.open(study))) == ["case_01"]


def test_the_command_submits_and_check_and_show_tell(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["study", "submit", str(study), "--case", "case_04", "--author", "A. B."]
    arguments += ["--volume", str(scan(study.parent, 4)), "--label", str(drawn(study.parent, 50))]
    assert main([*arguments, "--note", "first"]) == 0
    out = capsys.readouterr().out
    assert "version 1" in out and "labelsTr/case_04.nii.gz" in out and "cps4 train" in out
    assert main([*arguments, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result" and lines[-1]["version"] == 1
    assert main(["study", "check", str(study)]) == 0
    assert "Corrected labels: 1: case_04 (v1 by A. B.)." in capsys.readouterr().out
    assert main(["study", "show", str(study)]) == 0
    row = next(li for li in capsys.readouterr().out.splitlines() if li.startswith("case_04"))
    assert "v1 by A. B." in row and row.endswith("L5 L4/L5")
    assert main(["study", "show", str(study), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])["cases"]
    assert shown[4]["correction"]["note"] == "first" and shown[0]["correction"] is None
    assert main([*arguments[:4], "case_99", *arguments[5:]]) == 2
    assert "already, as case 'case_04'" in capsys.readouterr().err


def test_a_model_that_numbers_otherwise_needs_a_word(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starter = ROOT / "Resources" / "models" / "spider-t2-lumbar"
    arguments = ["study", "submit", str(study), "--case", "case_04", "--author", "A"]
    arguments += ["--volume", str(scan(tmp_path, 4)), "--label", str(drawn(tmp_path, 50))]
    arguments += ["--model", str(starter)]
    assert main(arguments) == 2
    assert "number the structures differently" in capsys.readouterr().err
    assert main([*arguments, "--schema", "mrspineseg"]) == 0
    (version,) = record(study, "case_04")
    assert version["model"]["name"] == "spider-t2-lumbar" and "folder" not in version["model"]


def test_through_the_worker(study: Path) -> None:
    with WorkerProcess() as worker:
        worker.next()
        arguments = {
            "study": str(study),
            "case": "case_04",
            "volume": str(scan(study.parent, 4)),
            "label": str(drawn(study.parent, 50)),
            "schema": SCHEMA.to_dict(),
            "author": "A. B.",
            "model": MODEL,
            "note": "",
            "overwrite": False,
        }
        result = worker.ask("submit", **arguments)["result"]
        assert result == {
            "case": "case_04",
            "image": str(study / "imagesTr" / "case_04_0000.nii.gz"),
            "label": str(study / "labelsTr" / "case_04.nii.gz"),
            "version": 1,
            "split": "train",
            "labelled": 5,
            "unlabelled": 1,
            "study_created": False,
            "warnings": result["warnings"],
        }
        answer = worker.ask("submit", **(arguments | {"case": "case_03"}))
        assert answer["event"] == "failed" and "another image" in answer["message"]
        answer = worker.ask("submit", **(arguments | {"schema": {"name": "x"}}))
        assert "label schema lacks" in answer["message"] and not answer["internal"]


def test_the_next_training_learns_from_it(tmp_path: Path) -> None:
    """The label that teaches is the corrected one, read from the study by the training itself."""
    from tiny_study import TINY_OPTIONS, tiny_case, write_tiny_study

    study = write_tiny_study(tmp_path / "study")
    content = json.loads((study / SPLITS).read_text())
    content["always_unlabelled"] = []
    (study / SPLITS).write_text(json.dumps(content))
    own = Study.open(study)
    image, label = tiny_case(2)  # the first unlabelled case
    for name, volume_ in (("image.nrrd", image), ("label.nrrd", label)):
        sitk.WriteImage(volume_, str(tmp_path / name))
    done = submit_correction(
        study, "unlabelled0", tmp_path / "image.nrrd", tmp_path / "label.nrrd", own.schema, "A"
    )
    assert done.split == "train" and (done.labelled, done.unlabelled) == (4, 1)
    options = [part for option in TINY_OPTIONS for part in ("--set", option)]
    arguments = ["train", str(study), "--output", str(tmp_path / "run"), "--preset", "cpu"]
    assert main([*arguments, *options, "--device", "cpu", "--threads", "1", "--quiet"]) == 0
    model = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    taught = {entry["id"]: entry["label"] for entry in model["provenance"]["labelled"]}
    assert taught["unlabelled0"] == record(study, "unlabelled0")[-1]["label"]
    assert "unlabelled1" not in taught and "val0" not in taught


def test_the_dataset_table_is_as_of_a_fresh_import(study: Path) -> None:
    submit(study, "case_04", 4)
    refreshed = (study / DATASET).read_text()
    write_dataset_json(study, SCHEMA)
    assert json.loads((study / DATASET).read_text()) == json.loads(refreshed)
