"""The benchmark as a user meets it: run, broken off, gone on with, refused, read."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_nnunet_peer import calls  # noqa: F401
from tiny_study import TINY_OPTIONS, write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.comparison.matrix import Cell, Matrix, choose_rows
from CPS4Core.comparison.page import CASES, MARKDOWN, REPORT
from CPS4Core.comparison.results import Result
from CPS4Core.comparison.scores import RunScores
from CPS4Core.comparison.significance import holm, paired_tests, smallest_p
from CPS4Core.comparison.tables import (
    cost_table,
    main_table,
    numbering_table,
    significance_table,
)
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.rows import rows
from CPS4Core.model_folder import load_weights

OPTIONS = [part for o in TINY_OPTIONS for part in ("--set", o)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_split_study(tmp_path / "study")


def write_split_study(folder: Path) -> Path:
    """Three labelled cases in two orders; val0 validates, val1 and val2 test."""
    write_tiny_study(folder, labelled=3, unlabelled=2, val=3)
    splits = json.loads((folder / "splits.json").read_text())
    splits["val"], splits["test"] = ["val0"], ["val1", "val2"]
    splits["labelled_order"]["1"] = splits["labelled_order"]["0"][::-1]
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


def arguments(study: Path, output: Path, *more: str) -> list[str]:
    where = ["compare", str(study), "--output", str(output), "--preset", "cpu", "--threads", "1"]
    chosen = ["--methods", "mean-teacher", "cps4", "--labelled", "1", "2", "--seeds", "0"]
    return [*where, *chosen, *OPTIONS, *more]


def test_a_comparison_runs_writes_its_tables_and_repeats_nothing(study, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    assert main(arguments(study, output, "--jobs", "2")) == 0
    table = (output / MARKDOWN).read_text()
    assert "mean-teacher" in table and "mDice, 1" in table and "right level" in table
    assert "mean-teacher" in (output / REPORT).read_text()
    for picture in ("ratio_curve.png", "curves.png", "overlays_1.png", "attention.png"):
        assert (output / picture).stat().st_size > 1000
    lines = (output / "commands.txt").read_text().splitlines()
    # Two ratios: two stages 1 with their maps, four trainings, six evaluations.
    kinds = [line.split()[1] for line in lines]
    assert [kinds.count(k) for k in ("pretrain", "train", "segment", "evaluate")] == [2, 4, 4, 6]
    assert not any("val1" in line and line.split()[1] in ("train", "pretrain") for line in lines)
    maps = [line for line in lines if line.split()[1] == "maps"]
    assert all("val0_" in line and "labelled" not in line for line in maps)
    made = (output / "runs" / "cps4_1_0" / "model" / "model.json").stat().st_mtime_ns
    assert main(arguments(study, output)) == 0
    assert (output / "commands.txt").read_text().splitlines() == lines
    assert (output / "runs" / "cps4_1_0" / "model" / "model.json").stat().st_mtime_ns == made
    # The second step of a run that lost its scores: only that is done again.
    shutil.rmtree(output / "runs" / "cps4_2_0" / "scores")
    (output / "results" / "cps4_2_0.json").unlink()
    assert main(arguments(study, output)) == 0
    again = (output / "commands.txt").read_text().splitlines()[len(lines) :]
    assert {line.split()[1] for line in again} <= {"train", "segment", "evaluate"}
    assert all("cps4_2_0" in line for line in again)
    # What it must not mix.
    assert main(arguments(study, output, "--set", "stage2.epochs=3")) == 2
    assert "another settings" in capsys.readouterr().err


def test_a_job_array_and_a_broken_off_comparison_go_on(study, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    few = ["--methods", "labelled-only", "mean-teacher", "--labelled", "1", "--seeds", "0", "1"]
    assert main([*arguments(study, output, *few), "--count"]) == 0
    assert capsys.readouterr().out.split() == ["4"]
    assert main([*arguments(study, output, *few), "--job", "1"]) == 0
    assert sorted(p.name for p in (output / "runs").iterdir()) == ["mean-teacher_1_0"]
    command = [sys.executable, "-m", "CPS4Core", *arguments(study, output, *few), "--jobs", "2"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (output / "runs" / "labelled-only_1_0" / "run.json").is_file():
            break
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130, said
    assert main(arguments(study, output, *few)) == 0
    table = (output / MARKDOWN).read_text()
    assert "±" in table  # two seeds
    assert main([*arguments(study, output, *few), "--job", "4"]) == 2


def test_a_failed_run_is_named_and_the_others_are_done(study, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    few = ["--methods", "labelled-only", "mean-teacher", "--labelled", "1"]
    # Something foreign lies where one run wants to be.
    (output / "runs" / "mean-teacher_1_0").mkdir(parents=True)
    (output / "runs" / "mean-teacher_1_0" / "notes.txt").write_text("mine")
    assert main(arguments(study, output, *few)) == 1
    assert "mean-teacher_1_0" in capsys.readouterr().err
    assert "labelled-only" in (output / MARKDOWN).read_text()
    assert "1 of 2 runs are not finished" in (output / REPORT).read_text()
    assert (output / "runs" / "mean-teacher_1_0" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "magic"], "No method 'magic'"),
        (["--labelled", "0%"], "neither a number of cases"),
        (["--labelled", "7"], "7 labelled training cases are wanted"),
        (["--set", "stage2.epoch=2"], "epoch"),
        (["--set", "stage2.options.magic=2"], "magic"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(study, tmp_path, capsys, more, said) -> None:
    assert main(arguments(study, tmp_path / "out", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_too_small_a_study_for_a_ratio(tmp_path, capsys) -> None:
    study = write_tiny_study(tmp_path / "study", labelled=1, unlabelled=0, val=2)
    splits = json.loads((study / "splits.json").read_text())
    splits["val"], splits["test"] = ["val0"], ["val1"]
    (study / "splits.json").write_text(json.dumps(splits))
    assert main(arguments(study, tmp_path / "out", "--labelled", "1")) == 2
    assert "no unlabelled training case is left" in capsys.readouterr().err


def test_all_labels_are_one_run_for_every_ratio(study, tmp_path) -> None:
    output = tmp_path / "out"
    few = ["--methods", "fully-supervised", "labelled-only"]
    assert main(arguments(study, output, *few)) == 0
    runs = sorted(p.name for p in (output / "runs").iterdir())
    assert runs == ["fully-supervised_all_0", "labelled-only_1_0", "labelled-only_2_0"]
    line = next(t for t in (output / MARKDOWN).read_text().splitlines() if "| fully-" in t[:12])
    cells = [cell.strip() for cell in line.split("|")[2:6]]
    assert cells[0] and cells[:2] == cells[2:]


def test_rows_of_ones_own_and_stage_1_alone(study, tmp_path) -> None:
    file, output = tmp_path / "mine.yaml", tmp_path / "out"
    file.write_text(
        "plain: [inference.levels=raw]\n"
        "rows:\n"
        "  labelled, slowly: {method: labelled-only, set: [stage2.learning_rate=0.0001]}\n"
        "  maps of clip: {objective: clip}\n"
    )
    few = ["--rows", str(file), "--methods", "all", "--labelled", "1", "--seeds", "0", "1"]
    assert main(arguments(study, output, *few, "--fixed-seed", "5")) == 0
    tables = (output / MARKDOWN).read_text()
    assert "| labelled, slowly |" in tables and "| maps of clip |" in tables
    runs = {p.name: json.loads((p / "run.json").read_text()) for p in (output / "runs").iterdir()}
    trained = [content for name, content in runs.items() if name.startswith("labelled-slowly_1_")]
    assert len(runs) == 4 and [content["seed"] for content in trained] == [5, 5]
    assert trained[0]["labelled"] != trained[1]["labelled"]
    assert trained[0]["config"]["stage2"]["learning_rate"] == 0.0001
    assert trained[0]["config"]["inference"]["levels"] == "raw"
    assert "0 of" not in (output / REPORT).read_text()  # nothing is missing
    assert main([*arguments(study, output, *few), "--methods", "cps4"]) == 2


def test_nnunet_is_a_row_where_it_is_installed(study, tmp_path, calls, monkeypatch) -> None:  # noqa: F811
    output = tmp_path / "out"
    monkeypatch.setenv("TRUTH", str(study / "labelsTr"))
    assert "nnunet" in choose_rows(rows(), ["all"])
    few = ["--methods", "nnunet", "labelled-only", "--labelled", "1"]
    assert main(arguments(study, output, *few, "--reference", "labelled-only")) == 0
    assert "| nnunet | 100.0 | 100.0 |" in (output / MARKDOWN).read_text()
    assert {call[0] for call in calls()} >= {"nnUNetv2_train", "nnUNetv2_predict"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "nnunet" not in choose_rows(rows(), ["all"])
    with pytest.raises(CPS4Error, match="pip install nnunetv2"):
        choose_rows(rows(), ["nnunet"])


def test_test_cases_may_lie_in_a_folder_of_their_own(study, tmp_path) -> None:
    splits = json.loads((study / "splits.json").read_text())
    for part in ("images", "labels"):
        (study / f"{part}Ts").mkdir()
        for file in (study / f"{part}Tr").glob("val[12]*"):
            file.rename(study / f"{part}Ts" / file.name)
    (study / "splits.json").write_text(json.dumps(splits | {"test": []}))
    few = ["--methods", "labelled-only", "--labelled", "1"]
    assert main(arguments(study, tmp_path / "out", *few)) == 0
    lines = (tmp_path / "out" / CASES).read_text().splitlines()
    assert [line.split(",")[3] for line in lines[1:]] == ["val1", "val2"]


def test_rows_share_a_stage_1_only_where_nothing_of_it_differs(study, tmp_path) -> None:
    known = choose_rows(rows(), ["cps4", "cps4-token"])
    matrix = Matrix(study, tmp_path, known, ("1",), (0,), settings=TINY_OPTIONS)
    folders = [matrix.stage1_folder(Cell(name, "1", 0)) for name in known]
    assert len(set(folders)) == 2
    with pytest.raises(CPS4Error, match="Known"):
        choose_rows(rows(), ["cps5"])


def test_rows_share_a_warm_up_and_train_as_if_alone(study, tmp_path) -> None:
    output = tmp_path / "out"
    few = ["--methods", "labelled-only", "mean-teacher", "bcp", "--labelled", "1"]
    longer = ["--set", "stage2.epochs=4", "--set", "stage2.warmup=0.5"]
    assert main(arguments(study, output, *few, *longer)) == 0
    lines = (output / "commands.txt").read_text().splitlines()
    assert sum("--stage warmup" in line for line in lines) == 1
    assert sum("--warmed-up" in line for line in lines) == 2
    # A finished training whose scores were lost needs its warm-up no more.
    shutil.rmtree(next((output / "runs").glob("warmup-*")))
    shutil.rmtree(output / "runs" / "mean-teacher_1_0" / "scores")
    (output / "results" / "mean-teacher_1_0.json").unlink()
    assert main(arguments(study, output, *few, *longer)) == 0
    again = (output / "commands.txt").read_text().splitlines()[len(lines) :]
    assert any("evaluate" in line for line in again)
    assert not any("--stage warmup" in line for line in again)
    whole = next(line for line in lines if "runs/mean-teacher_1_0" in line and " train " in line)
    command = shlex.split(whole)[1:]
    at = command.index("--warmed-up")
    del command[at : at + 2]
    command[command.index("--output") + 1] = str(tmp_path / "whole")
    assert main(command) == 0
    ours, theirs = (
        load_weights(run / "model" / "network.safetensors")
        for run in (tmp_path / "whole", output / "runs" / "mean-teacher_1_0")
    )
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_rows_that_differ_in_how_they_segment_are_one_training(study, tmp_path) -> None:
    output = tmp_path / "out"
    few = ["--methods", "labelled-only", "labelled-only-decoded", "--labelled", "1"]
    assert main(arguments(study, output, *few, "--jobs", "2")) == 0
    lines = (output / "commands.txt").read_text().splitlines()
    assert sum(line.split()[1] == "train" for line in lines) == 1
    raw, decoded = (output / "runs" / f"{row}_1_0" for row in few[1:3])
    assert (raw / "model").is_dir() and not (decoded / "model").exists()
    for folder in (raw, decoded):
        summary = json.loads((folder / "found" / "summary.json").read_text())
        assert summary["model"].endswith("-decoded") == (folder == decoded)
    ours, theirs = (
        json.loads((output / "results" / f"{row}_1_0.json").read_text()) for row in few[1:3]
    )
    assert ours["curve"] == theirs["curve"] and ours["cost"] == theirs["cost"]
    assert ours["options"]["inference.levels"] == "raw"
    assert theirs["options"]["inference.levels"] == "decoded"
    # Where the results alone were carried over, the training that a new row needs is done again.
    shutil.rmtree(output / "runs")
    (output / "results" / "labelled-only-decoded_1_0.json").unlink()
    assert main(arguments(study, output, *few)) == 0
    assert (raw / "model").is_dir() and not (raw / "found").exists()
    again = json.loads((output / "results" / "labelled-only-decoded_1_0.json").read_text())
    assert again["cases"] == theirs["cases"]


def test_prompt_maps_are_scored_on_unseen_training_cases_where_none_validates(tmp_path) -> None:
    study = write_tiny_study(tmp_path / "study", labelled=3, unlabelled=1, val=1)
    for part in study.glob("*Tr/val0*"):
        part.unlink()
    splits = json.loads((study / "splits.json").read_text())
    (study / "splits.json").write_text(json.dumps(splits | {"val": []}))
    matrix = Matrix(study, tmp_path, choose_rows(rows(), ["cps4"]), ("1",), (0,))
    cases = matrix.mapped_cases(matrix.selection("1", 0))
    assert [case.id for case in cases] == ["labelled1", "labelled2"]


def test_paired_tests_and_holm() -> None:
    reference = {f"case{i}": 0.8 + i / 100 for i in range(7)}
    worse = {case: value - 0.1 - i / 1000 for i, (case, value) in enumerate(reference.items())}
    mixed = {case: value + (-1) ** i / 100 for i, (case, value) in enumerate(reference.items())}
    rows_of = {"worse": worse, "mixed": mixed, "same": dict(reference)}
    found = paired_tests({name: (values, reference) for name, values in rows_of.items()})
    assert found["worse"].p == pytest.approx(smallest_p(7)) == 2 / 2**7  # all of one sign
    assert found["worse"].difference == pytest.approx(-0.103)
    assert found["mixed"].p > 0.5 and found["same"].p == 1
    assert paired_tests({"few": ({"case0": 1.0}, reference)})["few"].p is None
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_rows_are_compared_on_the_seeds_that_both_have(study, tmp_path) -> None:
    matrix = Matrix(
        study, tmp_path, choose_rows(rows(), ["mean-teacher", "cps4"]), ("1",), (0, 1, 2)
    )

    def run(row: str, seed: int, dice: float) -> RunScores:
        cases = {f"case{i}": {"dice": dice + i / 100} for i in range(7)}
        return RunScores(Cell(row, "1", seed), Result(cases=cases, cost={}, curve={}))

    # An easy seed is finished for both, hard ones for the reference alone.
    runs = [run("cps4", seed, dice) for seed, dice in enumerate((0.8, 0.2, 0.2))]
    runs.append(run("mean-teacher", 0, 0.7))
    table = significance_table(matrix, runs, "1", "cps4")
    assert table.rows[0][:2] == ["mean-teacher", "-10.0"]
    assert "none below" not in table.caption
    assert "73.0 * (1 of 3 seeds)" in main_table(matrix, runs, "cps4").markdown()
    few = [replace_cases(r, 5) for r in runs]
    caption = significance_table(matrix, few, "1", "cps4").caption
    assert "5 cases give no p below 0.062" in caption


def test_a_table_says_which_epoch_was_scored(study, tmp_path) -> None:
    matrix = Matrix(study, tmp_path, choose_rows(rows(), ["cps4"]), ("1",), (0, 1))
    curves = (
        {"epoch": [1, 2, 3, 4], "validation/mdice": [None, 0.5, None, 0.5]},
        {"epoch": [1, 2], "loss/total": [2, 1]},
    )
    runs = [
        RunScores(Cell("cps4", "1", i), Result(cases={"a": {"dice": 0.5}}, cost={}, curve=curve))
        for i, curve in enumerate(curves)
    ]
    # The first of equals, as the training keeps it; nothing validated: the last.
    assert numbering_table(matrix, runs, "1").rows[0][-1] == "2, -"


def test_a_run_that_was_paused_does_not_make_its_method_dear(study, tmp_path) -> None:
    matrix = Matrix(study, tmp_path, choose_rows(rows(), ["ucmt"]), ("1",), (0, 1, 2))
    runs = [
        RunScores(Cell("ucmt", "1", seed), Result(cases={}, cost={"seconds": spent}, curve={}))
        for seed, spent in enumerate((30.0, 32.0, 4000.0))
    ]
    assert "32" in cost_table(matrix, runs).rows[0]


def replace_cases(run: RunScores, count: int) -> RunScores:
    cases = dict(list(run.cases.items())[:count])
    return RunScores(run.cell, Result(cases=cases, cost={}, curve={}))
