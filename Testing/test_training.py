"""Training as a user meets it: both stages on a small study, resumed, cancelled, refused."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_study import TINY_OPTIONS, tiny_config, write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.device import choose_precision
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.methods.method import methods
from CPS4Core.model_folder import load_network, load_weights, read_model
from CPS4Core.progress import Progress
from CPS4Core.slices.cache import cache_cases
from CPS4Core.study.folder import Study
from CPS4Core.training.run import Run


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def study(tmp_path) -> Path:
    return write_tiny_study(tmp_path / "study")


def make_run(study: Path, folder: Path, *overrides: str, **options) -> Run:
    chosen = {"labelled": "all", "order": "0", "seed": 3} | options
    precision = choose_precision(torch.device("cpu"), "fp32")
    return Run(folder, Study.open(study), tiny_config(*overrides), precision=precision, **chosen)


class StopAfter(Progress):
    """Asks to stop once a task has finished some epochs."""

    def __init__(self, task: str, epochs: int):
        super().__init__()
        self.task, self.epochs = task, epochs

    def emit(self, event):
        if event["event"] == "step" and self.task in event["task"] and event["step"] == self.epochs:
            self.cancel()


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("method", methods())
def test_every_method_trains_and_its_resumed_run_equals_the_unbroken_one(study, tmp_path, method):
    overrides = (f"stage2.method={method}", "stage2.epochs=4")
    whole = make_run(study, tmp_path / "whole", *overrides).stage2(Progress())
    with pytest.raises(Cancelled):
        make_run(study, tmp_path / "broken", *overrides).stage2(StopAfter("stage 2", 2))
    assert not (tmp_path / "broken" / "model").exists()
    broken = make_run(study, tmp_path / "broken", *overrides).stage2(Progress())
    ours, theirs = (load_weights(i.folder / "network.safetensors") for i in (whole, broken))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    rows = rows_of(tmp_path / "whole" / "stage2")
    assert rows == rows_of(tmp_path / "broken" / "stage2")
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    assert whole.metrics == broken.metrics


def test_resumed_stage1_equals_the_unbroken_one(study, tmp_path):
    overrides = ("stage1.epochs=4", "stage1.schedule=plateau", "stage1.plateau_patience=1")
    whole = make_run(study, tmp_path / "whole", *overrides).stage1(Progress())
    with pytest.raises(Cancelled):
        make_run(study, tmp_path / "broken", *overrides).stage1(StopAfter("stage 1", 2))
    broken = make_run(study, tmp_path / "broken", *overrides).stage1(Progress())
    for name in ("vision_language.safetensors", "text_vectors.safetensors"):
        ours, theirs = (load_weights(i.folder / name) for i in (whole, broken))
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_seed_changes_the_result(study, tmp_path):
    found = [
        make_run(study, tmp_path / f"run{seed}", "stage2.method=labelled-only", seed=seed)
        for seed in (1, 2)
    ]
    ours, theirs = (
        load_weights(r.stage2(Progress()).folder / "network.safetensors") for r in found
    )
    assert any(not torch.equal(ours[k], theirs[k]) for k in ours)


def test_model_folder_says_what_it_is(study, tmp_path):
    info = make_run(study, tmp_path / "run").stage2(Progress())
    read = read_model(tmp_path / "run")  # the run's folder names its model
    assert read.folder == info.folder and read.method == "cps4"
    assert read.schema.class_names == ["Background", "L5", "L4/L5", "L4"]
    assert read.schema.ignore_value == 4
    assert "random weights" in read.encoder_weights
    assert [c["id"] for c in read.provenance["labelled"]] == ["labelled0", "labelled1"]
    assert [c["id"] for c in read.provenance["unlabelled"]] == ["unlabelled0", "unlabelled1"]
    assert all("label" not in c for c in read.provenance["unlabelled"])
    assert "mdice" in read.metrics["stage2"]["validation"]
    assert str(tmp_path) not in (info.folder / "model.json").read_text()
    assert not list((tmp_path / "run").rglob("*.pt")) + list((tmp_path / "run").rglob("*.pkl"))
    assert load_network(read)(torch.rand(1, 1, 40, 32)).shape == (1, 4, 40, 32)


def test_held_out_cases_are_never_opened(study, tmp_path):
    """Test files, and labels of cases that count as unlabelled, may be rubbish: nobody looks."""
    content = json.loads((study / "splits.json").read_text())
    content["test"], content["val"] = content["val"], []
    (study / "splits.json").write_text(json.dumps(content))
    (study / "imagesTr" / "val0_0000.nii.gz").write_bytes(b"not an image")
    (study / "labelsTr" / "val0.nii.gz").write_bytes(b"not a label")
    (study / "labelsTr" / "labelled1.nii.gz").write_bytes(
        b"damaged, but this case is unlabelled here"
    )
    info = make_run(study, tmp_path / "run", labelled="1").stage2(Progress())
    seen = [
        c["id"] for key in ("labelled", "unlabelled", "validation") for c in info.provenance[key]
    ]
    assert seen == ["labelled0", "labelled1", "unlabelled0", "unlabelled1"]


def test_pretrained_prompts_that_saw_a_held_out_case_are_refused(study, tmp_path):
    make_run(study, tmp_path / "prompts").stage1(Progress())
    content = json.loads((study / "splits.json").read_text())
    content["test"] = ["labelled1"]
    content["train"].remove("labelled1")
    content["labelled_order"]["0"].remove("labelled1")
    (study / "splits.json").write_text(json.dumps(content))
    run = make_run(study, tmp_path / "run", pretrained=tmp_path / "prompts")
    with pytest.raises(CPS4Error, match="held-out cases: labelled1"):
        run.stage2(Progress())


def test_another_configuration_is_refused_and_nothing_is_lost(study, tmp_path):
    make_run(study, tmp_path / "run").stage2(Progress())
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.safetensors")}
    with pytest.raises(CPS4Error, match="another config"):
        make_run(study, tmp_path / "run", "stage2.learning_rate=0.5").stage2(Progress())
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.safetensors")}


def test_a_run_that_was_killed_as_it_began_is_begun_again(study, tmp_path, monkeypatch):
    def killed(*given):
        raise KeyboardInterrupt

    for writer in ("write_json", "write_text"):
        folder = tmp_path / writer
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"CPS4Core.training.run.{writer}", killed)
            make_run(study, folder).stage1(Progress())
        with pytest.raises(Cancelled):
            make_run(study, folder).stage1(StopAfter("stage 1", 1))
        assert (folder / "config.yaml").is_file() and (folder / "run.json").is_file()


def test_a_foreign_folder_is_not_written_into(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(CPS4Error, match="not empty"):
        make_run(study, tmp_path / "mine").stage2(Progress())
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_checkpoint_cut_in_half(study, tmp_path):
    with pytest.raises(Cancelled):
        make_run(study, tmp_path / "run", "stage2.epochs=4").stage2(StopAfter("stage 2", 2))
    last = tmp_path / "run" / "stage2" / "last.safetensors"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(CPS4Error, match="Delete this file") as error:
        make_run(study, tmp_path / "run", "stage2.epochs=4").stage2(Progress())
    assert str(last) in str(error.value)
    last.unlink()
    make_run(study, tmp_path / "run", "stage2.epochs=4").stage2(Progress())


@pytest.mark.parametrize("method", ["cps4", "mean-teacher"])
def test_study_without_unlabelled_images(tmp_path, method):
    study = write_tiny_study(tmp_path / "study", unlabelled=0)
    with pytest.raises(CPS4Error, match="labelled-only"):
        make_run(study, tmp_path / "run", f"stage2.method={method}").stage2(Progress())
    make_run(study, tmp_path / "other", "stage2.method=labelled-only").stage2(Progress())


def test_study_without_labels(tmp_path):
    study = write_tiny_study(tmp_path / "study", labelled=0, val=0)
    with pytest.raises(CPS4Error, match="label"):
        make_run(study, tmp_path / "run").stage2(Progress())


def test_label_of_another_shape_is_named(study, tmp_path):
    label = study / "labelsTr" / "labelled1.nii.gz"
    volume = sitk.ReadImage(str(label))
    sitk.WriteImage(volume[:, :, 1:], str(label))
    with pytest.raises(CPS4Error, match="labelled1.nii.gz"):
        make_run(study, tmp_path / "run").stage2(Progress())


def test_volumes_of_one_slice(study, tmp_path):
    for path in sorted(study.glob("*Tr/*.nii.gz")):
        sitk.WriteImage(sitk.ReadImage(str(path))[2:3], str(path))
    info = make_run(study, tmp_path / "run").stage2(Progress())
    assert "mdice" in info.metrics["stage2"]["validation"]


def test_diverging_loss_is_named(study, tmp_path):
    overrides = ("stage2.method=labelled-only", "stage2.learning_rate=1e30", "stage2.epochs=9")
    with pytest.raises(CPS4Error, match="became .* at step .* stage 2 .labelled-only"):
        make_run(study, tmp_path / "run", *overrides).stage2(Progress())


def test_model_says_what_its_training_cost(study, tmp_path):
    info = make_run(study, tmp_path / "run", "stage2.method=ucmt").stage2(Progress())
    cost = read_model(info.folder).metrics["stage2"]["cost"]
    assert (cost["steps"], cost["updates"], cost["forwards"], cost["backwards"]) == (4, 2, 5, 2)
    weights = sum(p.numel() for p in load_network(info).parameters())
    assert cost["inference_parameters"] == weights
    assert cost["trained_parameters"] == 2 * weights  # two students
    header = (tmp_path / "run" / "stage2" / "metrics.csv").read_text().splitlines()[0]
    assert "loss/mixed-supervised" in header and "seconds" in header


def test_a_wrong_option_of_the_method_is_refused_before_anything_is_written(study, tmp_path):
    overrides = ("stage2.method=bcp", "stage2.options.pretain=0.5")
    with pytest.raises(CPS4Error, match="stage2.options.pretain .*pretrain"):
        make_run(study, tmp_path / "run", *overrides).stage2(Progress())
    assert not (tmp_path / "run").exists()


def test_missing_weights_folder_offline(study, tmp_path):
    for kind in ("text.kind=transformers", "vision.kind=timm"):
        part = kind.split(".")[0]
        overrides = [f"vision_language.{kind}"]
        if part == "vision":
            overrides.append(f"vision_language.vision.name=vit_tiny_patch16_224@{tmp_path}/none")
            overrides.append("vision_language.vision.pretrained=true")
        else:
            overrides.append(f"vision_language.text.name={tmp_path}/none")
        with pytest.raises(CPS4Error, match="missing|cannot be loaded"):
            make_run(study, tmp_path / part, *overrides).stage1(Progress())


def test_text_encoder_saved_by_one_run_is_a_local_folder_for_another(study, tmp_path):
    first = make_run(study, tmp_path / "first").stage1(Progress())
    overrides = (
        "vision_language.text.kind=transformers",
        f"vision_language.text.name={first.folder / 'text_encoder'}",
    )
    second = make_run(study, tmp_path / "second", *overrides).stage1(Progress())
    assert "pretrained text_encoder" in second.encoder_weights


def test_own_prompts_need_no_code(study, tmp_path):
    overrides = (
        "prompts.template='T2 image showing {class name}'",
        "prompts.classes={'L5': 'the lowest lumbar vertebra'}",
    )
    info = make_run(study, tmp_path / "own", *overrides).stage1(Progress())
    assert info.schema.prompts[1:3] == [
        "the lowest lumbar vertebra",
        "T2 image showing Intervertebral Disc between Lumbar Vertebra 4 and Lumbar Vertebra 5",
    ]
    with pytest.raises(CPS4Error, match="No structure 'L9'"):
        make_run(study, tmp_path / "bad", "prompts.classes={'L9': 'x'}").stage1(Progress())


def test_timm_encoder_trains_and_loads_a_local_weights_file(study, tmp_path):
    from CPS4Core.encoders.torchvision_import import import_timm

    timm = import_timm()
    from safetensors.torch import save_file

    donor = timm.create_model("vit_tiny_patch16_224", depth=12, num_classes=0)
    save_file(donor.state_dict(), tmp_path / "vit.safetensors")
    overrides = (
        "input.size=[64,32]",
        "vision_language.vision.kind=timm",
        "vision_language.vision.patch=16",
        f"vision_language.vision.name=vit_tiny_patch16_224@{tmp_path / 'vit.safetensors'}",
        "vision_language.vision.pretrained=true",
        "stage1.epochs=1",
        "stage1.learning_rate=1e-9",
    )
    info = make_run(study, tmp_path / "run", *overrides).stage1(Progress())
    weights = load_weights(info.folder / "vision_language.safetensors")
    block = "blocks.3.mlp.fc1.weight"
    assert torch.allclose(weights[f"vision.model.{block}"], donor.state_dict()[block], atol=1e-4)
    assert (
        weights["vision.model.patch_embed.proj.weight"].shape[1] == 1
    )  # RGB summed to one channel


def test_slice_cache_is_reused_and_follows_its_source(study):
    opened = Study.open(study)
    options = tiny_config().input
    first = cache_cases(opened, ["labelled0"], options)[0]
    assert isinstance(first.images, np.memmap) and first.images.dtype == np.uint8
    files = {p: p.stat().st_mtime_ns for p in (study / ".cps4cache").iterdir()}
    cache_cases(opened, ["labelled0"], options)
    assert files == {p: p.stat().st_mtime_ns for p in (study / ".cps4cache").iterdir()}
    label = study / "labelsTr" / "labelled0.nii.gz"
    label.write_bytes((study / "labelsTr" / "labelled1.nii.gz").read_bytes())
    os.utime(label, ns=(1, 1))
    second = cache_cases(Study.open(study), ["labelled0"], options)[0]
    assert not np.array_equal(first.labels, second.labels)
    assert len(list((study / ".cps4cache").iterdir())) == len(files)  # the stale one is gone


def command(study: Path, output: Path, epochs: int) -> list[str]:
    options = [o for o in TINY_OPTIONS if not o.startswith("stage2.epochs")]
    options += [f"stage2.epochs={epochs}", "stage2.method=labelled-only"]
    sets = [part for option in options for part in ("--set", option)]
    return [
        "train",
        str(study),
        "--output",
        str(output),
        "--preset",
        "cpu",
        "--threads",
        "1",
        *sets,
    ]


def test_killed_in_training_and_run_again(study, tmp_path):
    """kill -9, then Ctrl-C, then the same command to its end: all that was finished is kept."""
    output = tmp_path / "run"
    start = [sys.executable, "-m", "CPS4Core", *command(study, output, 400)]
    for number, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = subprocess.Popen(start, stderr=subprocess.DEVNULL)
        metrics, before = output / "stage2" / "metrics.csv", 0
        if metrics.is_file():
            before = len(rows_of(output / "stage2"))
        while process.poll() is None:
            if metrics.is_file() and len(rows_of(output / "stage2")) > before + 2:
                break
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == expected
    done = len(rows_of(output / "stage2"))
    assert done >= 6 and not (output / "model").exists()
    assert main(["--quiet", *command(study, output, 400)]) == 0
    assert [int(r["epoch"]) for r in rows_of(output / "stage2")] == list(range(1, 401))


def test_events_for_other_programs(study, tmp_path, capfd):
    assert main(["--json", *command(study, tmp_path / "run", 2)]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    steps = [e for e in events if e["event"] == "step" and "stage 2" in e["task"]]
    assert [(e["step"], e["total"]) for e in steps] == [(1, 2), (2, 2)]
    metrics = [e["metrics"] for e in events if e["event"] == "metric"]
    assert metrics[0]["loss/supervised"] > 0 and "validation/mdice" in metrics[0]


def test_read_only_output(study, tmp_path, monkeypatch, capfd):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(command(study, tmp_path / "run", 1)) == 2
    assert "may write to" in capfd.readouterr().err
