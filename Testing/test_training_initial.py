"""`cps4 train --from MODEL`: what is taken over, what is refused, what is written down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_model import write_tiny_model
from tiny_study import TINY_OPTIONS, tiny_config, write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.device import choose_precision
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.model_folder import load_weights, make_network, read_model
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study
from CPS4Core.training.initial import start_network
from CPS4Core.training.run import Run

STILL = ("stage1.learning_rate=1e-12", "stage2.learning_rate=1e-12", "stage2.weight_decay=0")
"""So small that the weights stay what they were."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, and beside it a finished run on it."""
    root = tmp_path_factory.mktemp("initial")
    write_tiny_study(root / "study")
    make_run(root / "study", root / "first").stage2(Progress())
    return root


def make_run(study: Path, output: Path, *overrides: str, **options) -> Run:
    torch.set_num_threads(1)
    precision = choose_precision(torch.device("cpu"), "fp32")
    config = tiny_config(*overrides)
    return Run(output, Study.open(study), config, "all", "0", 3, precision, **options)


class Said(Progress):
    """Keeps messages; stops after an epoch of stage 2 where asked to."""

    def __init__(self, stop_after: int | None = None):
        super().__init__()
        self.texts: list[str] = []
        self.stop_at = ("stage 2 (cps4)", stop_after)

    def emit(self, event):
        if event["event"] == "message":
            self.texts.append(event["message"])
        elif event["event"] == "step" and (event["task"], event["step"]) == self.stop_at:
            self.cancel()


def weights(model: Path, part: str) -> dict[str, torch.Tensor]:
    return load_weights(read_model(model).folder / f"{part}.safetensors")


def learned(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the statistics of batches, which move at any learning rate."""
    return {n: t for n, t in tensors.items() if "running" not in n and "num_batches" not in n}


@pytest.mark.parametrize("part", ["network", "vision_language"])
def test_both_stages_begin_with_the_models_weights(folder, tmp_path, part):
    run = make_run(folder / "study", tmp_path / "run", *STILL, initial=folder / "first")
    said = Said()
    run.stage2(said)
    ours, theirs = (learned(weights(f, part)) for f in (run.folder, folder / "first"))
    assert all(torch.allclose(ours[n], theirs[n], atol=1e-6) for n in theirs)
    fresh = make_run(folder / "study", tmp_path / "fresh", *STILL, "stage2.epochs=1")
    fresh.seed = 4
    fresh.stage2(Progress())
    other = learned(weights(fresh.folder, part))
    assert not all(torch.allclose(other[n], theirs[n], atol=1e-6) for n in theirs)
    assert not any("anew" in text for text in said.texts)
    written = read_model(run.folder)
    assert written.provenance["initial"]["name"] == "first"
    assert [c["id"] for c in written.provenance["initial"]["labelled"]] == [
        "labelled0",
        "labelled1",
    ]
    assert "from the model first" in written.encoder_weights
    assert str(folder) not in (written.folder / "model.json").read_text()


def test_a_resumed_run_equals_the_unbroken_one(folder, tmp_path):
    options = {"initial": folder / "first"}
    longer = "stage2.epochs=4"
    make_run(folder / "study", tmp_path / "whole", longer, **options).stage2(Progress())
    with pytest.raises(Cancelled):
        make_run(folder / "study", tmp_path / "broken", longer, **options).stage2(Said(2))
    said = Said()
    make_run(folder / "study", tmp_path / "broken", longer, **options).stage2(said)
    ours, theirs = (weights(tmp_path / n, "network") for n in ("whole", "broken"))
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
    assert not any("network starts from" in text for text in said.texts)


def test_a_run_keeps_to_the_model_that_it_began_with(folder, tmp_path):
    make_run(folder / "study", tmp_path / "run").stage2(Progress())
    with pytest.raises(CPS4Error, match="another initial"):
        make_run(folder / "study", tmp_path / "run", initial=folder / "first").stage2(Progress())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("network.widths=[4,8,8,8]", "widths"),
        ("network.normalise=zscore", "normalises"),
        ("vision_language.vision.depth=2", "vision encoder"),
        ("input.size=[48,32]", "another input"),
    ],
)
def test_another_architecture_is_refused(folder, tmp_path, override, said):
    run = make_run(folder / "study", tmp_path / "run", override, initial=folder / "first")
    with pytest.raises(CPS4Error, match=said):
        run.stage2(Progress())


def test_the_head_goes_by_names_and_says_what_is_new(folder):
    info = read_model(folder / "first")
    schema = Study.open(folder / "study").schema
    renamed = json.loads(json.dumps(schema.to_dict()))
    first, *_, last = renamed["structures"]
    first["name"], last["name"] = last["name"], "L9"
    from CPS4Core.schema import schema_from_dict

    other = schema_from_dict(renamed, "test")
    network, said = make_network(info.config, other), Said()
    before = network.head.weight.detach().clone()
    start_network(network, info.config, other, info, said)
    theirs = weights(folder / "first", "network")["head.weight"]
    assert torch.equal(network.head.weight[1], theirs[schema.index_of(last_name(schema))])
    assert torch.equal(network.head.weight[-1], before[-1]), "a new name begins anew"
    assert any("L9" in text for text in said.texts)


def last_name(schema) -> str:
    return schema.structures[-1].name


def test_a_model_that_saw_held_out_labels_is_refused(folder, tmp_path):
    study = tmp_path / "other"
    shutil.copytree(folder / "study", study)
    # The same image under another name: it is known by its content.
    for part, end in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (study / part / f"labelled1{end}").rename(study / part / f"hidden{end}")
    content = json.loads((study / "splits.json").read_text())
    content["test"] = ["hidden"]
    content["train"].remove("labelled1")
    content["labelled_order"]["0"].remove("labelled1")
    (study / "splits.json").write_text(json.dumps(content))
    run = make_run(study, tmp_path / "run", initial=folder / "first")
    with pytest.raises(CPS4Error, match="held-out cases: hidden"):
        run.stage2(Progress())
    assert not (tmp_path / "run").exists()


def test_a_leak_is_known_over_generations(folder, tmp_path):
    second = make_run(folder / "study", tmp_path / "second", initial=folder / "first")
    info = second.stage2(Progress())
    description = info.folder / "model.json"
    content = json.loads(description.read_text())
    content["provenance"]["labelled"] = []  # as if it had other cases of its own
    description.write_text(json.dumps(content))
    splits = json.loads((folder / "study" / "splits.json").read_text())
    study = tmp_path / "other"
    shutil.copytree(folder / "study", study)
    splits["test"], splits["train"] = ["labelled1"], ["labelled0", "unlabelled0", "unlabelled1"]
    splits["labelled_order"] = {"0": ["labelled0"]}
    (study / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(CPS4Error, match="held-out cases: labelled1"):
        make_run(study, tmp_path / "third", initial=info.folder).stage2(Progress())


def test_the_command_takes_a_model_without_prompts(folder, tmp_path, capfd):
    plain = write_tiny_model(tmp_path / "plain", 1, "network.normalise=local").folder
    sets = [part for option in TINY_OPTIONS for part in ("--set", option)]
    start = ["train", str(folder / "study"), "-o", str(tmp_path / "run"), "-p", "cpu", *sets]
    assert main([*start, "--threads", "1", "--from", str(plain)]) == 0
    said = capfd.readouterr().err
    assert "has no prompts: stage 1 begins anew" in said and "starts from the model plain" in said
    with pytest.raises(CPS4Error, match="no such model folder"):
        make_run(folder / "study", tmp_path / "x", initial=Path("nothing")).stage2(Progress())
