"""`cps4 segment` over many volumes: what it writes, skips, survives and refuses."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from inference_samples import sagittal_volume
from PIL import Image
from tiny_model import write_tiny_model

from CPS4Core import files
from CPS4Core.cli.main import main
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.inference import models
from CPS4Core.inference import segment as segment_module
from CPS4Core.inference.segment import Options, segment_volumes
from CPS4Core.progress import Progress

TORCH = Options(device="cpu", engine="torch")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model").folder


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """A folder of three good volumes."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    for name in ("a.nii.gz", "b.mha", "c.nrrd"):
        sitk.WriteImage(sagittal_volume(), str(folder / name), True)
    return folder


def segment(*arguments: object) -> int:
    return main(
        ["segment", *map(str, arguments), "--device", "cpu", "--engine", "torch", "--quiet"]
    )


def case_json(output: Path, case: str) -> dict[str, Any]:
    return json.loads((output / f"{case}.json").read_text())


def test_files_of_a_case(volumes: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(volumes, "-o", out, "-m", model, "--segmentation", "--format", "nrrd") == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [f"{c}{end}" for c in "abc" for end in (".nrrd", ".seg.nrrd", ".json", "_qc.png")]
        + ["summary.json"]
    )
    label, image = (sitk.ReadImage(str(p)) for p in (out / "b.nrrd", volumes / "b.mha"))
    assert label.GetSize() == image.GetSize() and label.GetDirection() == image.GetDirection()
    assert set(np.unique(sitk.GetArrayViewFromImage(label))) == {0, 2, 3}
    with Image.open(out / "b_qc.png") as picture:
        assert min(picture.size) > 300
    content = case_json(out, "b")
    assert content["case"] == "b" and content["seconds"] >= 0
    assert [s["name"] for s in content["structures"]] == ["L5", "L4"]
    assert content["model"]["method"] == "mean-teacher" and content["model"]["encoder_weights"]
    assert any("anchor" in text for text in content["warnings"])
    everything = "".join(p.read_text() for p in out.glob("*.json"))
    assert str(tmp_path) not in everything, "no paths of the user in the results"
    header = (out / "b.seg.nrrd").read_bytes()[:20_000]
    assert b"49668003" in header, "the segmentation names L5 by its SNOMED code"


def test_bad_volumes_are_reported_and_the_rest_goes_on(
    volumes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (volumes / "text.nii.gz").write_text("this is a web page, not a volume")
    whole = (volumes / "a.nii.gz").read_bytes()
    (volumes / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    sitk.WriteImage(sagittal_volume() * 0, str(volumes / "flat.nii.gz"))
    out = tmp_path / "out"
    assert segment(volumes, "-o", out, "-m", model) == 1
    shown = capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["failed"]) == {"text", "cut", "flat"}
    assert sorted(summary["finished"]) == ["a", "b", "c"]
    for case, why in {"text": "text file", "cut": "cut off", "flat": "same value"}.items():
        assert why in summary["failed"][case] and f"error: {case}: " in shown
        assert not list(out.glob(f"{case}*")), "nothing is left of a failed case"


def test_finished_cases_are_skipped_and_missing_files_added(
    volumes: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert segment(volumes, "-o", out, "-m", model, "--no-qc") == 0
    (out / "b.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.nii.gz")}
    assert segment(volumes, "-o", out, "-m", model, "--no-qc") == 0
    changed = {p.name for p, t in before.items() if p.stat().st_mtime_ns != t}
    assert changed == {"b.nii.gz"}, "only the case without its .json was unfinished"
    assert segment(volumes, "-o", out, "-m", model) == 0
    assert len(list(out.glob("*_qc.png"))) == 3, "what is newly asked for is added"
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.nii.gz")}
    assert segment(volumes, "-o", out, "-m", model, "--overwrite") == 0
    assert all(p.stat().st_mtime_ns != t for p, t in before.items())


def test_another_model_or_input_needs_overwrite(volumes: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment_volumes([volumes], out, model, TORCH)
    kept = (out / "a.nii.gz").read_bytes()
    sitk.WriteImage(sagittal_volume() + 5, str(volumes / "a.nii.gz"))
    outcome = segment_volumes([volumes], out, model, TORCH)
    assert "another input" in outcome.failed["a"] and "--overwrite" in outcome.failed["a"]
    assert outcome.skipped == ["b", "c"] and outcome.exit_code == 1
    other = write_tiny_model(tmp_path / "other", 1).folder
    outcome = segment_volumes([volumes], out, other, TORCH)
    assert "another model and input" in outcome.failed["a"]
    assert (
        "another model made" not in outcome.failed["b"] and "another model" in outcome.failed["b"]
    )
    assert (out / "a.nii.gz").read_bytes() == kept


class CancelAfterFirst(Progress):
    def emit(self, event: dict[str, Any]) -> None:
        if event["event"] == "step":
            self.cancel()


def test_cancelling_keeps_finished_cases(volumes: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        segment_volumes([volumes], out, model, TORCH, CancelAfterFirst())
    assert list(json.loads((out / "summary.json").read_text())["finished"]) == ["a"]
    outcome = segment_volumes([volumes], out, model, TORCH)
    assert outcome.skipped == ["a"] and sorted(outcome.finished) == ["b", "c"]


def test_cancelling_within_a_case_is_no_failure_of_it(
    volumes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, read = Progress(), segment_module.read_volume

    def read_and_cancel(path: Path) -> sitk.Image:
        progress.cancel()
        return read(path)

    monkeypatch.setattr(segment_module, "read_volume", read_and_cancel)
    with pytest.raises(Cancelled):
        segment_volumes([volumes], tmp_path / "out", model, TORCH, progress)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["failed"] == {}


def test_a_full_disk_stops_at_once(
    volumes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, out = os.replace, tmp_path / "out"

    def full(source: Path, target: Path) -> None:
        if target.name.startswith("b"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(CPS4Error, match="Free some space"):
        segment_volumes([volumes], out, model, TORCH)
    assert (out / "a.json").is_file() and not (out / "c.json").exists()
    assert not list(out.glob(".partial*")) and not list(out.glob("b*"))


def test_an_output_that_cannot_be_written(
    volumes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert segment(volumes, "-o", tmp_path / "file" / "out", "-m", model) == 2
    assert "Cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("half copied", "lacks network.safetensors"),
        ("stage 1 only", "stage 1 only"),
        ("missing", "no such model folder"),
        ("not a model", "description of the model is missing"),
    ],
)
def test_unusable_models(
    damage: str,
    said: str,
    volumes: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = tmp_path / "damaged"
    if damage != "missing":
        shutil.copytree(model, damaged)
        (damaged / "network.safetensors").unlink()
    if damage == "stage 1 only":
        description = damaged / "model.json"
        description.write_text(
            json.dumps({**json.loads(description.read_text()), "files": []}), encoding="utf-8"
        )
    if damage == "not a model":
        (damaged / "model.json").unlink()
    assert segment(volumes, "-o", tmp_path / "out", "-m", damaged) == 2
    assert said in capsys.readouterr().err


def test_without_a_model(
    volumes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "model_places", lambda: [tmp_path / "models"])
    with pytest.raises(CPS4Error, match="cps4 train"):
        segment_volumes([volumes], tmp_path / "out")
    shutil.copytree(model, tmp_path / "models" / "one")
    assert segment_volumes([volumes], tmp_path / "out", options=TORCH).exit_code == 0
    shutil.copytree(model, tmp_path / "models" / "two")
    with pytest.raises(CPS4Error, match="--model one of one, two"):
        segment_volumes([volumes], tmp_path / "out")


def test_maps_need_a_model_that_has_them(volumes: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(CPS4Error, match="no prompt maps"):
        segment_volumes([volumes], tmp_path / "out", model, Options(maps=True))


def test_a_dicom_tree_with_maps_keeps_its_names(tmp_path: Path) -> None:
    """Two patients with a series of the same name, in the label maps and in the prompt maps."""
    from test_volumes_reading import write_series

    places = [float(4 * i) for i in range(4)]
    for number, patient in enumerate(("P1", "P2")):
        write_series(tmp_path / "disk" / patient / "SE1", places, series=str(number))
    starter = Path(__file__).resolve().parents[1] / "Resources" / "models" / "spider-t2-lumbar"
    options = replace(TORCH, maps=True, qc=False)
    outcome = segment_volumes([tmp_path / "disk"], tmp_path / "out", starter, options)
    assert not outcome.failed and outcome.exit_code == 0
    assert list(outcome.finished) == ["P1_SE1", "P2_SE1"]
    for case in outcome.finished:
        assert (tmp_path / "out" / f"{case}.nii.gz").is_file()
        assert (tmp_path / "out" / "maps" / f"{case}.json").is_file()


def command(*arguments: object, code: str | None = None) -> list[str]:
    start = ["-c", code] if code else ["-m", "CPS4Core", "segment"]
    return [sys.executable, *start, *map(str, arguments)]


def test_a_killed_run_keeps_finished_cases(model: Path, tmp_path: Path) -> None:
    many, out = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    for number in range(40):
        sitk.WriteImage(sagittal_volume(12, 200, 160), str(many / f"case{number:02}.mha"))
    arguments = (many, "-o", out, "-m", model, "--engine", "torch", "--device", "cpu", "--quiet")
    running = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL)
    try:
        while not list(out.glob("case*.json")) and running.poll() is None:
            time.sleep(0.01)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    finished = sorted(p.stem for p in out.glob("case*.json"))
    assert 0 < len(finished) < 40
    for case in finished:
        label = sitk.ReadImage(str(out / f"{case}.nii.gz"))
        assert sitk.GetArrayViewFromImage(label).any()
    kept = {case: (out / f"{case}.nii.gz").stat().st_mtime_ns for case in finished}
    first = [many / f"{case}.mha" for case in finished] + [many / "case39.mha"]
    outcome = segment_volumes(first, out, model, TORCH)
    assert outcome.skipped == finished and list(outcome.finished) == ["case39"]
    assert all((out / f"{c}.nii.gz").stat().st_mtime_ns == t for c, t in kept.items())


def test_with_openvino_nothing_heavy_is_imported(
    volumes: Path, model: Path, tmp_path: Path
) -> None:
    """The second use of a model: the first one converts it, and needs torch for that."""
    pytest.importorskip("openvino")
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    code = (
        "import sys\n"
        "from CPS4Core.cli.main import main\n"
        "assert main(['segment', *sys.argv[1:]]) == 0\n"
        "heavy = ('torch', 'transformers', 'timm', 'monai', 'matplotlib', 'skimage', 'scipy')\n"
        "print('imported:', *[name for name in heavy if name in sys.modules])\n"
    )
    said = []
    for run in ("first", "second"):
        arguments = (volumes, "-o", tmp_path / run, "-m", copy, "--device", "cpu", "--segmentation")
        done = subprocess.run(
            command(*arguments, "--engine", "openvino", code=code),
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=120,
        )
        said.append(done.stdout.splitlines()[-1].strip())
    assert "torch" in said[0] and said[1] == "imported:"
    first, second = (tmp_path / run / "a.nii.gz" for run in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
