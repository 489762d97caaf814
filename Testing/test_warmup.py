"""A warm-up that runs share: each goes on from it as if it had made it."""

from __future__ import annotations

import pytest
import torch
from test_training import make_run, rows_of
from tiny_study import write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.method import method_class, methods
from CPS4Core.model_folder import load_weights
from CPS4Core.progress import Progress

HALF = ("stage2.epochs=4", "stage2.warmup=0.5", "stage2.validate_every=1")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    root = tmp_path_factory.mktemp("warm")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    study = write_tiny_study(root / "study")
    make_run(study, root / "warm", *HALF, "stage2.method=mean-teacher").warmup(Progress())
    yield study, root / "warm"
    torch.set_num_threads(threads)


@pytest.mark.parametrize("method", methods())
def test_going_on_from_a_warm_up_equals_the_whole_run(warm, tmp_path, method):
    study, warmed_up = warm
    options = (*HALF, f"stage2.method={method}")
    if not method_class(method).warms_up_plainly():
        with pytest.raises(CPS4Error, match=f"'{method}' warms up in a way of its own"):
            make_run(study, tmp_path / "run", *options, warmed_up=warmed_up).stage2(Progress())
        return
    whole = make_run(study, tmp_path / "whole", *options).stage2(Progress())
    after = make_run(study, tmp_path / "run", *options, warmed_up=warmed_up).stage2(Progress())
    ours, theirs = (load_weights(i.folder / "network.safetensors") for i in (after, whole))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    rows = [rows_of(tmp_path / run / "stage2") for run in ("run", "whole")]
    assert [int(r["epoch"]) for r in rows[0]] == [1, 2, 3, 4]
    first = [{k: v for k, v in r.items() if v} for r in rows[0]]
    assert first == [{k: v for k, v in r.items() if v} for r in rows[1]]
    assert after.metrics == whole.metrics


def test_the_warm_up_ends_before_the_unlabelled_slices_teach(warm):
    rows = rows_of(warm[1] / "stage2")
    assert [int(r["epoch"]) for r in rows] == [1, 2]
    assert "loss/pseudo" not in rows[0] and not (warm[1] / "model").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"labelled": "1"}, "labelled"),
        ({"option": "stage2.learning_rate=0.01"}, "stage2.learning_rate"),
        ({"option": "augmentation.rotation=3"}, "augmentation"),
        ({"option": "phantoms.count=1"}, "phantoms"),
    ],
)
def test_a_warm_up_of_another_training_is_refused(warm, tmp_path, change, named):
    study, warmed_up = warm
    options = [*HALF, "stage2.method=mean-teacher"]
    options += [change.pop("option")] if "option" in change else []
    with pytest.raises(CPS4Error, match=f"another {named}"):
        make_run(study, tmp_path / "run", *options, warmed_up=warmed_up, **change).stage2(
            Progress()
        )
    assert not (tmp_path / "run").exists()


def test_without_phantoms_a_warm_up_serves_whatever_they_would_be(warm, tmp_path):
    study, warmed_up = warm
    options = (*HALF, "stage2.method=mean-teacher", "phantoms.worth=7")
    run = make_run(study, tmp_path / "run", *options, warmed_up=warmed_up).stage2(Progress())
    assert (run.folder / "model.json").is_file()


def test_a_warm_up_without_a_teacher(warm, tmp_path):
    study, _ = warm
    make_run(study, tmp_path / "warm", *HALF, "stage2.method=labelled-only").warmup(Progress())
    run = make_run(
        study, tmp_path / "run", *HALF, "stage2.method=cps4", warmed_up=tmp_path / "warm"
    )
    with pytest.raises(CPS4Error, match="no teacher, which 'cps4' needs"):
        run.stage2(Progress())


def test_by_commands(warm, tmp_path, capfd):
    study, _ = warm
    common = [str(study), "--preset", "cpu", "--labelled", "1", "--threads", "1"]
    for option in ("stage2.epochs=2", "stage2.iterations_per_epoch=1", "phantoms.count=0"):
        common += ["--set", option]
    teacher = ["--method", "mean-teacher", "--set", "stage2.pseudo_labels=voxel"]
    warmed_up, none = tmp_path / "warm", tmp_path / "none"
    half = ["--set", "stage2.warmup=0.5"]
    stage = ["--stage", "warmup", "--output", str(warmed_up)]
    assert main(["train", *common, *teacher, *half, *stage]) == 0
    run = ["--warmed-up", str(warmed_up), "--output", str(tmp_path / "run")]
    assert main(["train", *common, *teacher, *half, *run]) == 0
    assert (tmp_path / "run" / "model" / "model.json").is_file()
    never = ["--set", "stage2.warmup=0", "--stage", "warmup", "--output", str(none)]
    assert main(["train", *common, *teacher, *never]) == 2
    said = capfd.readouterr().err
    assert "has no warm-up" in said and not none.exists()
