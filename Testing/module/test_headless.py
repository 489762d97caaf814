"""The headless scripts, run by `--python-script` without a main window, do what `cps4` does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

TESTING = Path(__file__).resolve().parents[1]
ROOT = TESTING.parent
SCRIPTS = ROOT / "CPS4Segment" / "Scripts"
for folder in (TESTING, ROOT / "CPS4Segment"):
    sys.path.insert(0, str(folder))

NEEDED = ("slicerharness", "slicer_core", "PySide6")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    pytest.skip(f"needs {', '.join(MISSING)}", allow_module_level=True)

from tiny_model import write_tiny_model  # noqa: E402
from tiny_study import TINY_OPTIONS, tiny_case, write_tiny_study  # noqa: E402

LIMIT = 240
HARNESS = [sys.executable, "-m", "slicerharness", "--no-main-window"]


def environment() -> dict[str, str]:
    paths = [str(TESTING), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def in_slicer(script: str | Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return ended([*HARNESS, "--python-script", str(SCRIPTS / script), *map(str, arguments)])


def cps4(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return ended([sys.executable, "-m", "CPS4Core", *map(str, arguments)])


def ended(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def set_options(settings: Iterable[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def contents(folder: Path) -> dict[str, Any]:
    """Every file of an output folder with what has to be equal in it."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.endswith((".nii.gz", ".nrrd")):
            image = sitk.ReadImage(str(path))
            found[name] = (sitk.GetArrayFromImage(image).tobytes(), image.GetOrigin())
        elif path.suffix == ".json":
            found[name] = without_times(json.loads(path.read_text()))
        else:
            found[name] = path.suffix
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: without_times(v) for k, v in value.items() if "seconds" not in k and k != "output"
        }
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(2):
        sitk.WriteImage(tiny_case(seed)[0], str(folder / f"scan{seed}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny").folder


@pytest.fixture
def headless() -> ModuleType:
    return importlib.import_module("CPS4SegmentLib.headless")


def test_segment_gives_the_results_of_cps4(scans: Path, model: Path, tmp_path: Path) -> None:
    options = ["--model", model, "--segmentation", "--device", "cpu", "--engine", "torch"]
    done = in_slicer("segment.py", scans, "--output", tmp_path / "slicer", *options)
    assert done.returncode == 0, done.stderr
    assert cps4("segment", scans, "--output", tmp_path / "cps4", *options).returncode == 0
    ours = contents(tmp_path / "slicer")
    assert {"scan0.nii.gz", "scan0.seg.nrrd", "scan1.json", "scan1_qc.png"} <= set(ours)
    assert ours == contents(tmp_path / "cps4")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "slicer" / "scan0.nii.gz")))
    assert np.unique(labels).size > 1, "equally empty results would be equal too"


def write_series(image: sitk.Image, folder: Path, number: int) -> None:
    """A volume as a DICOM series of one file a slice, of a patient with a name."""
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = np.reshape(image.GetDirection(), (3, 3))
    for slice_number in range(image.GetSize()[2]):
        plane = sitk.Cast(image[:, :, slice_number : slice_number + 1], sitk.sitkInt16)
        place = image.TransformIndexToPhysicalPoint((0, 0, slice_number))
        for tag, value in {
            "0008|0060": "MR",
            "0010|0010": "Doe^Jane",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.7",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.7.{number}",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.7.{number}.{slice_number + 1}",
            "0020|0013": str(slice_number + 1),
            "0020|0032": "\\".join(f"{mm:.4f}" for mm in place),
            "0020|0037": "\\".join(f"{c:.6f}" for c in direction[:, :2].T.ravel()),
        }.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"IM{slice_number:04d}"))
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(plane)


def test_a_dicom_tree_becomes_a_label_map_for_each_series(
    scans: Path, model: Path, tmp_path: Path
) -> None:
    """Patient, study, series: named by their folders, labelled as the same scan in one file."""
    study = tmp_path / "disk" / "P1" / "ST1"
    for seed, series in enumerate(("SE1", "SE2")):
        write_series(sitk.ReadImage(str(scans / f"scan{seed}.nii.gz")), study / series, seed)
    out = tmp_path / "out"
    options = ["--model", model, "--device", "cpu", "--engine", "torch"]
    done = in_slicer("segment.py", tmp_path / "disk", "--output", out, *options)
    assert done.returncode == 0, done.stderr
    labels = {path.name: sitk.ReadImage(str(path)) for path in out.glob("*.nii.gz")}
    assert set(labels) == {"P1_ST1_SE1.nii.gz", "P1_ST1_SE2.nii.gz"}
    assert in_slicer("segment.py", scans, "-o", tmp_path / "files", *options).returncode == 0
    for seed, label in enumerate(labels.values()):
        whole = sitk.ReadImage(str(tmp_path / "files" / f"scan{seed}.nii.gz"))
        same = sitk.GetArrayFromImage(sitk.Resample(label, whole, sitk.Transform(), 1, 0.0))
        assert np.mean(same == sitk.GetArrayFromImage(whole)) > 0.99
        assert len(np.unique(same)) > 1
    written = "".join(path.read_text() for path in out.glob("*.json")) + done.stderr + done.stdout
    assert "Doe" not in written


def test_one_bad_case_gives_exit_code_1(scans: Path, model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no volume")
    done = in_slicer("segment.py", scans / "scan0.nii.gz", bad, "-o", tmp_path / "out", "-m", model)
    assert done.returncode == 1
    assert "bad.nii.gz" in done.stderr
    assert (tmp_path / "out" / "scan0.nii.gz").is_file()


def test_bad_input_gives_exit_code_2_and_the_cure(tmp_path: Path) -> None:
    done = in_slicer("segment.py", tmp_path / "none.nii.gz", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "The input does not exist" in done.stderr and "Check the path" in done.stderr
    assert in_slicer("train.py").returncode == 2


def test_events_come_as_json_lines(scans: Path, model: Path, tmp_path: Path) -> None:
    arguments = [scans / "scan0.nii.gz", "-o", tmp_path / "out", "-m", model, "--json"]
    done = in_slicer("segment.py", *arguments)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {"start", "step", "end"} <= {event["event"] for event in events}


@pytest.mark.parametrize("name", ["segment", "prompt_maps", "train"])
def test_help_comes_behind_two_dashes(name: str) -> None:
    """Slicer takes --help for itself unless -- stands before it."""
    done = in_slicer(f"{name}.py", "--", "--help")
    assert done.returncode == 0
    assert f"usage: cps4 {name.replace('prompt_', '')}" in done.stdout


def test_prompt_maps_gives_the_results_of_cps4(scans: Path, tmp_path: Path) -> None:
    options = ["--classes", "L5,L4/L5", "--device", "cpu", "--threads", "1"]
    scan = scans / "scan0.nii.gz"
    done = in_slicer("prompt_maps.py", scan, "--output", tmp_path / "slicer", *options)
    assert done.returncode == 0, done.stderr
    assert cps4("maps", scan, "--output", tmp_path / "cps4", *options).returncode == 0
    ours = contents(tmp_path / "slicer")
    assert any(name.startswith("integrated/") for name in ours)
    assert ours == contents(tmp_path / "cps4")


def test_train_gives_the_model_of_cps4(tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path / "study")
    options = ["--preset", "cpu", "--device", "cpu", *set_options(TINY_OPTIONS)]
    done = in_slicer("train.py", study, "--output", tmp_path / "slicer", *options)
    assert done.returncode == 0, done.stderr
    assert cps4("train", study, "--output", tmp_path / "cps4", *options).returncode == 0
    weights = [tmp_path / run / "model" / "network.safetensors" for run in ("slicer", "cps4")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_slicer_takes_its_child_along(number: int, tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path / "study")
    long = set_options([*TINY_OPTIONS, "stage1.epochs=100000"])
    arguments = [study, "-o", tmp_path / "run", "--preset", "cpu", "--json", *long]
    command = [*HARNESS, "--python-script", SCRIPTS / "train.py", *arguments]
    with subprocess.Popen(
        list(map(str, command)), env=environment(), stdout=subprocess.PIPE, text=True
    ) as slicer:
        assert slicer.stdout is not None
        try:
            next(line for line in slicer.stdout if '"event": "step"' in line)
            (child,) = children_of(slicer.pid)
            slicer.send_signal(number)
            slicer.communicate(timeout=60)
        finally:
            slicer.kill()
    assert slicer.returncode == 130
    assert not Path("/proc", str(child)).exists()


def children_of(parent: int) -> list[int]:
    """Processes started by `parent` that run CPS4Core."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and b"CPS4Core" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended while we looked
            continue
    return found


def test_a_script_without_its_module_does_not_leave_slicer_open(tmp_path: Path) -> None:
    lone = tmp_path / "Scripts" / "segment.py"
    lone.parent.mkdir()
    shutil.copy(SCRIPTS / "segment.py", lone)
    assert in_slicer(lone, "scan.nii.gz").returncode == 1


def core_that_does(code: str, folder: Path) -> Path:
    """A stand-in for CPS4Core, whose command does what the test needs."""
    (folder / "CPS4Core").mkdir()
    (folder / "CPS4Core" / "__init__.py").touch()
    (folder / "CPS4Core" / "__main__.py").write_text(code)
    return folder


@pytest.fixture
def stand_in(headless: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(code: str) -> None:
        core_that_does(code, tmp_path)
        monkeypatch.chdir(tmp_path)
        core_path = importlib.import_module("CPS4SegmentLib.core_path")
        monkeypatch.setattr(core_path, "core_parent", lambda: tmp_path)

    return use


def test_the_last_lines_of_both_streams_arrive(
    headless: ModuleType, stand_in: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(
        "import sys\n"
        "print(*range(20000), sep='\\n')\n"
        "print('half a line \\u2013', end='')\n"
        "print('the reason', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    assert headless.run("segment", []) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[-2:] == ["19999", "half a line \u2013"]
    assert err == "the reason\n"


def test_output_comes_while_the_command_runs(
    headless: ModuleType, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("import time\nprint('first')\ntime.sleep(1.5)\nprint('second')\n")
    times: list[float] = []

    class Screen:
        def write(self, text: str) -> None:
            times.append(time.monotonic())

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stdout", Screen())
    assert headless.run("segment", []) == 0
    assert len(times) == 2 and times[1] - times[0] > 1


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_killed_child_is_said_and_coded(
    headless: ModuleType, stand_in: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert headless.run("train", []) == 137
    assert "cps4 train: killed by signal 9 (out of memory?)" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_a_second_signal_ends_a_child_that_does_not_listen(
    headless: ModuleType, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready')\n"
        "time.sleep(60)\n"
    )

    class Screen:
        def write(self, text: str) -> None:
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)

        def flush(self) -> None:
            pass

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "stdout", Screen())
    began = time.monotonic()
    assert headless.run("train", []) == 130
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGTERM) == before


def test_slicers_own_python_is_taken(
    headless: ModuleType, stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    python = sys.executable
    monkeypatch.setattr(shutil, "which", lambda n: asked.append(n) or python)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    stand_in("")
    assert headless.run("segment", []) == 0
    assert asked == ["PythonSlicer"]


def test_without_a_python_there_is_a_code_and_no_exception(
    headless: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", "/none/python")
    assert headless.run("segment", []) == 1
    assert "/none/python" in capsys.readouterr().err
