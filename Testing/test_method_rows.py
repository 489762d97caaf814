"""The rows of a comparison: `cps4 methods`, and `cps4 train --method` by a row's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import TINY_OPTIONS, tiny_config, write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.config import load_config
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.method import method_class, methods
from CPS4Core.methods.rows import row, rows, trainable_row
from CPS4Core.model_folder import read_model
from CPS4Core.pretrain.objective import objective_class, objectives

ROOT = Path(__file__).parents[1]


def test_every_method_has_a_row_of_its_name():
    assert set(methods()) <= set(rows())
    for name in methods():
        assert rows()[name].method == name


@pytest.mark.parametrize("name", rows())
def test_a_row_makes_a_configuration_or_names_its_command(name):
    found = row(name)
    assert found.about and len(found.about) < 80
    if found.outside:
        assert found.outside.startswith("cps4 ") and found.source
        return
    config = tiny_config(*found.overrides)
    assert config.stage2.method == found.method
    method_class(found.method).read_options(config.stage2)


def test_the_list_has_a_line_with_source_and_cost_for_each(capsys):
    assert main(["methods"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for name, found in rows().items():
        assert found.about in lines[name]
        if found.method:
            cls = method_class(found.method)
            of = objective_class(found.objective) if found.objective else cls
            assert (found.source or of.source) in lines[name]
            numbers = [str(n) for n in (cls.cost.updates, cls.cost.forwards, cls.cost.backwards)]
            after = lines[name].split(found.about)[1].split()
            assert after[:3] == numbers


def test_one_method_in_full(capsys):
    assert main(["methods", "unimatch"]) == 0
    out = capsys.readouterr().out
    for part in ("CVPR 2023", "L_s1", "Deviations", "confidence: 0.95", "2 forwards", "--method"):
        assert part in out
    assert main(["methods", "nnunet"]) == 0
    assert "cps4 nnunet" in capsys.readouterr().out


def test_rows_with_prompts_show_both_stages(capsys):
    assert main(["methods", "mgca"]) == 0
    out = capsys.readouterr().out
    for part in (
        "Wang et al., NeurIPS 2022",
        "ITA",
        "stage1.options.NAME",
        "prototypes: 64",
        "y_enh",
    ):
        assert part in out


def test_every_objective_has_a_row_that_differs_from_cps4_in_it_alone():
    assert set(objectives()) <= set(rows())
    for name in objectives():
        assert (row(name).objective or "cps4", row(name).method) == (name, "cps4")
        assert not row(name).set
        config = load_config("paper", row(name).overrides)
        objective_class(name).read_options(config.stage1)
        assert config.stage1.objective == name
        assert config.model_copy(update={"stage1": load_config("paper").stage1}) == load_config(
            "paper"
        )


def test_the_best_row_is_the_best_preset_and_switches_it_on_elsewhere():
    overrides = row("cps4-best").overrides
    assert load_config("best", overrides) == load_config("best")
    best, elsewhere = load_config("best"), load_config("paper", overrides)
    assert elsewhere.phantoms == best.phantoms and elsewhere.inference == best.inference
    sizes = {"epochs", "iterations_per_epoch", "labelled_batch", "unlabelled_batch"}
    schedule = {"learning_rate", "milestones", "warmup", "validate_every", "decode_every"}
    schedule |= {"confidence"}
    ours, theirs = (c.stage2.model_dump(exclude=sizes | schedule) for c in (elsewhere, best))
    assert ours == theirs


def test_in_a_comparison_all_rows_but_two_train_plainly():
    paper = load_config("paper")
    for name, found in rows().items():
        config = load_config("cpu", [*found.plain, *found.overrides])
        if name in ("cps4-decoded", "cps4-best") or found.outside:
            continue
        levels = "decoded" if name.endswith("-decoded") else "raw"
        assert config.phantoms.count == 0 and config.inference.levels == levels, name
        fields = ("pseudo_labels", "text_weight", "enhanced_weight", "enhanced")
        for field in fields:
            assert getattr(config.stage2, field) == getattr(paper.stage2, field), (name, field)
    best = row("cps4-best")
    assert not best.plain and load_config("cpu", best.overrides) == load_config("cpu")


def test_the_decoded_row_is_the_best_one_without_phantoms_and_shares_the_stages_of_cps4():
    ours, plain, best = (
        load_config("best", [*row(name).plain, *row(name).overrides])
        for name in ("cps4-decoded", "cps4", "cps4-best")
    )
    assert ours.stage1 == plain.stage1 and ours.phantoms == plain.phantoms != best.phantoms
    assert ours.inference == best.inference != plain.inference
    unused = {"enhanced"}  # where levels are decoded
    assert ours.stage2.model_dump(exclude=unused) == best.stage2.model_dump(exclude=unused)


def test_vision_language_rows_differ_from_cps4_in_stage_1_alone():
    ours = load_config("cpu", [*row("cps4").plain, *row("cps4").overrides])
    names = [*objectives(), "cps4-token", "cps4-pixel"]
    for name in names:
        theirs = load_config("cpu", [*row(name).plain, *row(name).overrides])
        assert theirs.model_copy(update={"stage1": ours.stage1}) == ours, name
    token, pixel = (
        load_config("cpu", row(f"cps4-{t}").overrides).stage1 for t in ("token", "pixel")
    )
    assert (token.token_weight, token.pixel_weight) == (pixel.pixel_weight, pixel.token_weight)
    assert token.pixel_weight == 0 < token.token_weight


@pytest.mark.parametrize(
    "text",
    ["[1]", "rows: {}", "rows: {a: {methd: cps4}}", "rows: {a: {set: [1]}}", "rows: [a", "a: {}"],
)
def test_a_file_of_rows_that_is_none_is_refused(tmp_path, text):
    file = tmp_path / "rows.yaml"
    file.write_text(text)
    with pytest.raises(CPS4Error, match=r"rows\.yaml"):
        rows(file)


@pytest.mark.parametrize("file", sorted((ROOT / "scripts" / "rows").glob("*.yaml")), ids=str)
def test_the_rows_of_the_documents_are_configurations(file):
    for found in rows(file).values():
        load_config("cpu", [*found.plain, *found.overrides])


def test_text_masks_are_an_option_of_their_row():
    config = load_config("cpu", row("amvlm-text-mask").overrides)
    assert objective_class("amvlm").read_options(config.stage1).text_mask


def test_for_other_programs(capsys):
    assert main(["--json", "methods"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {e["name"]: e for e in events if e["event"] == "method"}
    assert list(found) == list(rows())
    assert found["ucmt"]["cost"] == {"updates": 2, "forwards": 5, "backwards": 2}
    assert found["cps4"]["stage1"] == "the preset's" and found["bcp"]["stage1"] is None


def test_unknown_rows_list_the_known(capsys):
    for command in (["methods", "nonesuch"], ["train", "x", "-o", "y", "--method", "nonesuch"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert "nonesuch" in err and "mc-net-plus" in err and "fully-supervised" in err


def test_a_row_is_trained_by_its_name(tmp_path):
    study = write_tiny_study(tmp_path / "study")
    sets = [part for option in TINY_OPTIONS for part in ("--set", option)]
    command = ["--quiet", "train", str(study), "-p", "cpu", *sets, "--method", "fully-supervised"]
    assert main([*command, "-o", str(tmp_path / "run")]) == 0
    info = read_model(tmp_path / "run")
    assert info.method == "labelled-only" and len(info.provenance["labelled"]) == 2
    assert main([*command, "-o", str(tmp_path / "other"), "--labelled", "1"]) == 2
    assert not (tmp_path / "other").exists()


def test_rows_that_cannot_be_trained_so():
    with pytest.raises(CPS4Error, match="cps4 nnunet --help"):
        trainable_row("nnunet", "5%")
    with pytest.raises(CPS4Error, match="takes --labelled all, not 5%"):
        trainable_row("fully-supervised", "5%")
    assert trainable_row("bcp", "5%").method == "bcp"
