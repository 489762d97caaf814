"""The result files of a comparison: enough to go on and to tabulate without the run folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_comparison import arguments, write_split_study
from tiny_study import TINY_OPTIONS

from CPS4Core.cli.main import main
from CPS4Core.comparison.execute import COMMANDS
from CPS4Core.comparison.matrix import Matrix, choose_rows, digest
from CPS4Core.comparison.page import CASES, MARKDOWN, REPORT
from CPS4Core.comparison.results import ResultFile
from CPS4Core.config import load_config
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.rows import rows

DECAY = '"stage2.ema_decay": 0.99'
FEW = ("--methods", "labelled-only", "cps4", "--labelled", "1")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return write_split_study(tmp_path_factory.mktemp("data") / "study")


@pytest.fixture(scope="module")
def done(study, tmp_path_factory) -> Path:
    """A finished comparison, with its run folders; not to be changed."""
    output = tmp_path_factory.mktemp("done") / "out"
    assert main(arguments(study, output, *FEW)) == 0
    return output


@pytest.fixture
def carried(done, tmp_path) -> Path:
    """What of it goes to another machine."""
    output = tmp_path / "carried"
    shutil.copytree(done / "results", output / "results")
    shutil.copy(done / "comparison.json", output)
    return output


def kinds(output: Path) -> list[str]:
    """The commands that were run."""
    file = output / COMMANDS
    return [line.split()[1] for line in file.read_text().splitlines()] if file.is_file() else []


def test_results_alone_give_the_same_tables_and_nothing_is_run_again(
    study, done, carried, capsys
) -> None:
    assert main(["--quiet", *arguments(study, carried, *FEW)]) == 0
    assert not kinds(carried) and not (carried / "runs").exists()
    for name in (MARKDOWN, CASES):
        assert (carried / name).read_text() == (done / name).read_text()
    assert (carried / "curves.png").stat().st_size > 1000
    assert not list(carried.glob("overlays*")) + list(carried.glob("attention*"))
    said, report = capsys.readouterr().err, (carried / REPORT).read_text()
    for text in (said, report):
        assert "their folders are not here" in text and "cps4_1_0" in text and "stage1-" in text
    assert "not finished" not in report and "Training" in report
    assert "their folders are not here" not in (done / REPORT).read_text()


def test_an_unfinished_run_trains_the_stage_1_whose_folder_is_gone(study, carried) -> None:
    (carried / "results" / "cps4_1_0.json").unlink()
    (first,) = (carried / "results").glob("stage1-*")
    scored = first.read_bytes()
    assert main(arguments(study, carried, *FEW)) == 0
    assert kinds(carried) == ["pretrain", "train", "segment", "evaluate"]
    assert first.read_bytes() == scored  # its maps had their scores
    assert (carried / "overlays_1.png").is_file()
    assert "labelled-only_1_0" in (carried / REPORT).read_text()  # left out of the overlays


def test_runs_finished_before_there_were_result_files_get_theirs(study, done, tmp_path) -> None:
    output = tmp_path / "old"
    shutil.copytree(done, output)
    before = {p.name: p.read_text() for p in (output / "results").iterdir()}
    shutil.rmtree(output / "results")
    (maps,) = (output / "runs").glob("stage1-*/scores/metrics.json")
    scores = json.loads(maps.read_text())
    scores["cases"]["labelled1"] = scores["cases"]["val0"]  # these were scored, too
    maps.write_text(json.dumps(scores))
    assert main([*arguments(study, output, *FEW), "--tables"]) == 0
    assert {p.name: p.read_text() for p in (output / "results").iterdir()} == before
    shutil.rmtree(output / "results")
    assert main(arguments(study, output, *FEW)) == 0
    assert kinds(output) == kinds(done)
    assert {p.name: p.read_text() for p in (output / "results").iterdir()} == before


def test_results_of_two_machines_are_joined_by_copying(study, carried, tmp_path) -> None:
    other, few = tmp_path / "other", ["--methods", "labelled-only", "--labelled", "1"]
    assert main(arguments(study, other, *few, "--seeds", "1")) == 0
    shutil.copytree(other / "results", carried / "results", dirs_exist_ok=True)
    assert main([*arguments(study, carried, *few), "--seeds", "0", "1", "--tables"]) == 0
    line = next(t for t in (carried / MARKDOWN).read_text().splitlines() if "| labelled-" in t)
    assert "±" in line
    assert "not finished" not in (carried / REPORT).read_text()


def test_what_a_result_file_says(study, done) -> None:
    content = json.loads((done / "results" / "cps4_1_0.json").read_text())
    assert content["made by"]["labelled cases"] == ["labelled0"]
    assert content["cases"].keys() == {"val1", "val2"}
    assert content["cost"]["steps"] == 4 and content["cost"]["stage1_seconds"] > 0
    assert content["curve"]["epoch"] == [1, 2]
    assert all(0 <= value <= 1 for value in content["curve"]["validation/mdice"])
    assert "loss/total" in content["curve"] and "random" in content["encoder_weights"]
    (first,) = (done / "results").glob("stage1-*")
    assert json.loads(first.read_text())["cases"].keys() == {"val0"}
    assert all(p.stat().st_size < 20_000 for p in (done / "results").iterdir())


def test_options_that_a_version_did_not_know_do_not_refuse_its_results(study, carried) -> None:
    file = carried / "results" / "cps4_1_0.json"
    content = json.loads(file.read_text())
    del content["options"]["stage2.ema_decay"]
    file.write_text(json.dumps(content))
    assert main([*arguments(study, carried, *FEW), "--tables"]) == 0
    del content["options"]
    file.write_text(json.dumps(content))
    assert main([*arguments(study, carried, *FEW), "--tables"]) == 0


def test_options_of_what_a_run_has_not_do_not_refuse_its_result(study, carried) -> None:
    """A preset may give phantoms and decoding other options: plain rows have neither."""
    file = carried / "results" / "cps4_1_0.json"
    content = json.loads(file.read_text())
    content["options"] |= {"phantoms.worth": 9, "stage2.decoded_text_weight": 9}
    file.write_text(json.dumps(content))
    assert main([*arguments(study, carried, *FEW), "--tables"]) == 0
    decoded = choose_rows(rows(), ["cps4-decoded"])
    matrix = Matrix(study, carried, decoded, ("1",), (0,), settings=TINY_OPTIONS)
    result = ResultFile.of_run(matrix, matrix.cells[0])
    result.path.write_text(json.dumps(content | {"made by": result.made_by}))
    with pytest.raises(CPS4Error, match="another .*stage2.decoded_text_weight"):
        result.read()


def test_what_phantoms_would_be_does_not_name_the_stages_of_rows_without() -> None:
    without = ["phantoms.count=0", "phantoms.share=null"]
    names = {
        value: digest(load_config("cpu", [*without, f"phantoms.worth={value}"]), {"phantoms": True})
        for value in (5, 7)
    }
    assert names[5] == names[7]
    with_them = [load_config("cpu", [f"phantoms.worth={value}"]) for value in (5, 7)]
    assert len({digest(config, {"phantoms": True}) for config in with_them} | {names[5]}) == 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "", "cannot be read"),
        (lambda text: '{"mine": 1}', "no result of a run"),
        (lambda text: "[1]", "no result of a run"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "no result of a run"),
        (lambda text: text.replace('"dice": ', '"dice": "good", "d": '), "no result of a run"),
        (lambda text: text.replace("stage2.epochs=2", "stage2.epochs=3"), "another settings"),
        (lambda text: text.replace('["labelled0"]', '["labelled2"]'), "another labelled cases"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "another seed"),
        # A preset that was changed under the same name.
        (lambda text: text.replace(DECAY, DECAY + "5"), "stage2.ema_decay"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--tables"]])
def test_a_damaged_or_foreign_file_is_named_with_the_cure(
    study, carried, capsys, spoil, said, more
) -> None:
    file = carried / "results" / "cps4_1_0.json"
    before = file.read_text()
    file.write_text(spoil(before))
    assert file.read_text() != before
    assert main([*arguments(study, carried, *FEW), *more]) == 2
    message = capsys.readouterr().err
    assert said in message and str(file) in message and "delete" in message
    assert not kinds(carried) and file.read_text() == spoil(before)
