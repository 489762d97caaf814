"""nnU-Net as an outside peer, with stand-ins for its three commands."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_samples import make_study

from CPS4Core.cli.main import main
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.files import read_json
from CPS4Core.peers.outside_command import run_outside
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study

# Each writes down how it was called and leaves what the real one leaves, as of nnunetv2 2.8.
STAND_IN = """#!{python}
import json, os, shutil, sys
from pathlib import Path
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(json.dumps([name, *arguments]) + "\\n")
if os.environ.get("FAIL") == name:
    print("CUDA out of memory")
    sys.exit(3)
parts = ("raw", "preprocessed", "results")
raw, preprocessed, results = (Path(os.environ["nnUNet_" + part]) for part in parts)
(dataset,) = [f.name for f in raw.iterdir()]
def option(flag):
    return arguments[arguments.index(flag) + 1]
if name == "nnUNetv2_plan_and_preprocess":
    (preprocessed / dataset).mkdir(parents=True)
elif name == "nnUNetv2_train":
    fold, trainer = arguments[2], option("-tr")
    if fold != "all":
        assert (preprocessed / dataset / "splits_final.json").is_file()
    folder = results / dataset / (trainer + "__nnUNetPlans__" + arguments[1]) / ("fold_" + fold)
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
else:
    found = Path(option("-o"))
    found.mkdir(exist_ok=True)
    for image in Path(option("-i")).iterdir():
        case = image.name.replace("_0000", "")
        shutil.copyfile(os.path.join(os.environ["TRUTH"], case), found / case)
    (found / "dataset.json").write_text("{{}}")
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The stand-ins on PATH; what was called is read from the list that this returns."""
    log, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    for name in ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict"):
        file = folder / name
        file.write_text(STAND_IN.format(python=sys.executable, calls=str(log)))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Six labelled cases, two unlabelled; case_05 tests. Label values have gaps (3, 7)."""
    from CPS4Core.schema import LabelSchema, Structure

    schema = LabelSchema(
        "gaps",
        (
            Structure(3, "L5", "fifth", (1, 2, 3), "vertebra", order=0),
            Structure(7, "L4", "fourth", (4, 5, 6), "vertebra", order=1),
        ),
    )
    folder = make_study(tmp_path / "study", labelled=6, unlabelled=2, schema=schema)
    truth = tmp_path / "truth"  # what a perfect nnU-Net says: 1, 2
    truth.mkdir()
    for n in range(6):
        path = folder / "labelsTr" / f"case_{n:02d}.nii.gz"
        label = sitk.ReadImage(str(path))
        values = sitk.GetArrayFromImage(label)
        for array, where in (
            (np.select([values == 2, values == 3], [3, 7], 0), path),
            (np.select([values == 2, values == 3], [1, 2], 0), truth / path.name),
        ):
            image = sitk.GetImageFromArray(array.astype(np.uint8))
            image.CopyInformation(label)
            sitk.WriteImage(image, str(where))
    monkeypatch.setenv("TRUTH", str(truth))
    names = [f"case_{n:02d}" for n in range(8)]
    splits = {
        "test": [names[5]],
        "val": [names[4]],
        "train": [*names[:4], *names[6:]],
        "always_unlabelled": names[6:],
        "labelled_count": {},
        "labelled_order": {"0": names[3::-1]},
    }
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


def peer(study, output, *options) -> list[str]:
    return ["--quiet", "nnunet", str(study), "-o", str(output), "--device", "cpu", *options]


def test_labelled_cases_train_and_predictions_come_back_in_the_studys_values(
    study, tmp_path, calls, capsys
):
    output = tmp_path / "run"
    assert main(peer(study, output, "--labelled", "2", "--configuration", "2d")) == 0
    plan, train, predict = calls()
    assert plan[:5] == ["nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "2d"]
    assert train[1:4] == ["501", "2d", "0"] and train[-1] == "--c"
    assert predict[0] == "nnUNetv2_predict" and predict[predict.index("-f") + 1] == "0"
    (raw,) = (output / "raw").iterdir()
    trained = sorted(f.name for f in (raw / "labelsTr").iterdir())
    assert trained == ["case_02.nii.gz", "case_03.nii.gz", "case_04.nii.gz"]
    assert not (raw / "imagesTs").exists()  # nnU-Net never sees a test case before it predicts
    fold = read_json(output / "preprocessed" / raw.name / "splits_final.json")
    assert fold == [{"train": ["case_02", "case_03"], "val": ["case_04"]}]
    found, truth = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "case_05.nii.gz")))
        for folder in (output / "found", study / "labelsTr")
    )
    assert set(np.unique(truth)) == {0, 3, 7} and np.array_equal(found, truth)
    scores = ["evaluate", str(output / "found"), str(study), "--split", "test", "--no-distances"]
    assert main(["--quiet", *scores, "-o", str(output / "scores")]) == 0
    assert read_json(output / "scores" / "metrics.json")["summary"]["dice"]["mean"] == 1


def test_held_out_cases_and_no_validation(study, tmp_path, calls):
    content = read_json(study / "splits.json")
    content["train"].append(content["val"].pop())
    (study / "splits.json").write_text(json.dumps(content))
    assert main(peer(study, tmp_path / "run", "--labelled", "3", "--cases", "held-out")) == 0
    found = sorted(f.name for f in (tmp_path / "run" / "found").iterdir())
    assert found == ["case_00.nii.gz", "case_04.nii.gz"]
    assert calls()[1][3] == "all"


def test_finished_parts_are_not_repeated(study, tmp_path, calls, monkeypatch, capsys):
    command = peer(study, tmp_path / "run", "--labelled", "2")
    monkeypatch.setenv("FAIL", "nnUNetv2_predict")
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "nnUNetv2_predict failed with exit code 3" in err and "CUDA out of memory" in err
    assert "log.txt" in err
    monkeypatch.delenv("FAIL")
    assert main(command) == 0 and main(command) == 0
    assert [call[0].removeprefix("nnUNetv2_") for call in calls()] == [
        "plan_and_preprocess",
        "train",
        "predict",
        "predict",
    ]
    shutil.rmtree(tmp_path / "run" / "found")
    monkeypatch.setenv("PATH", str(tmp_path))  # what is predicted needs no nnU-Net any more
    assert main(command) == 0 and (tmp_path / "run" / "found" / "case_05.nii.gz").is_file()


def test_another_runs_folder_and_a_foreign_one_are_refused(study, tmp_path, calls, capsys):
    assert main(peer(study, tmp_path / "run", "--labelled", "2")) == 0
    assert main(peer(study, tmp_path / "run", "--labelled", "3")) == 2
    assert "another labelled" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert main(peer(study, tmp_path / "mine", "--labelled", "2")) == 2
    assert "not empty" in capsys.readouterr().err


def test_without_nnunet_the_install_line_is_named(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(peer(study, tmp_path / "run")) == 2
    assert "pip install nnunetv2" in capsys.readouterr().err


def test_the_commands_can_be_had_for_another_machine(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(peer(study, tmp_path / "run", "--labelled", "2", "--print")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *["export"] * 3,
        "nnUNetv2_plan_and_preprocess",
        "cp",
        "nnUNetv2_train",
        "nnUNetv2_predict",
    ]
    assert not (tmp_path / "run").exists()


def test_a_study_without_test_cases_is_told(study, tmp_path, calls, capsys):
    content = read_json(study / "splits.json")
    content["train"].append(content["test"].pop())
    (study / "splits.json").write_text(json.dumps(content))
    assert main(peer(study, tmp_path / "run")) == 2
    assert "no test cases" in capsys.readouterr().err
    assert Study.open(study)


@pytest.mark.skipif(os.name != "posix", reason="looks for the process by its id")
def test_cancelling_ends_the_outside_program(tmp_path):
    pid, progress = tmp_path / "pid", Progress()
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    checks = iter(range(1000))

    def check():
        if next(checks) and pid.exists() and pid.read_text():
            raise Cancelled("cancelled")

    progress.check = check
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run_outside([sys.executable, "-c", code, str(pid)], {}, tmp_path / "log", progress)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_command_that_is_not_there(tmp_path):
    with pytest.raises(CPS4Error, match="nonesuch cannot be started"):
        run_outside([str(Path("/nonesuch"))], {}, tmp_path / "log", Progress())
