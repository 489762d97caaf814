"""The benchmark runs in small, and its table says truly what is met."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from CPS4Core.benchmark import run
from CPS4Core.benchmark.made import made_volume, write_random_model
from CPS4Core.benchmark.run import Row, as_table
from CPS4Core.benchmark.speed import BASELINE, best_of, gigaflop
from CPS4Core.cli.main import main
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.predictor import Predictor
from CPS4Core.progress import Progress


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 2.4, "s", 2.5), True),
        (Row("a", 2.6, "s", 2.5), False),
        (Row("a", 2.6, "times", 2.0, at_least=True), True),
        (Row("a", 1.9, "times", 2.0, at_least=True), False),
        (Row("a", 1.9, "s"), None),
        (Row("a", None, "MB", 700), None),
    ],
)
def test_targets(row: Row, met: bool | None) -> None:
    assert row.met is met
    last = as_table([row]).splitlines()[-1].split()[-1]
    assert (last == "met", last == "missed") == (met is True, met is False)


def test_variants_take_turns_and_the_best_counts() -> None:
    order: list[str] = []
    found = best_of({name: lambda name=name: order.append(name) for name in "ab"}, 2, Progress())
    assert order == ["a", "b", "a", "b"] and set(found) == {"a", "b"}


def test_the_made_model_labels_about_as_much_as_a_spine_fills(tmp_path: Path) -> None:
    info = write_random_model(tmp_path / "model", (128, 128), (8, 16))
    found = Predictor(info, make_engine(info, "cpu", "torch")).predict(made_volume(2, 128))
    assert 0.01 < np.count_nonzero(found.indices) / found.indices.size < 0.4
    # Two levels: the first convolution alone is 2 * 9 * 8 operations a pixel.
    assert gigaflop(info, 2) > 2 * 128 * 128 * 2 * 9 * 8 / 1e9


def test_the_command_measures_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "DECODED_SIZES", ((160, 80),))
    monkeypatch.setattr(run, "IMPORTS", ("import json", "import no_such_module"))
    output = tmp_path / "figures.json"
    options = ["--sizes", "32x16", "--slices", "2", "--widths", "4,8", "--repeats", "1"]
    code = main(
        ["benchmark", *options, "--no-training", "--device", "cpu", "-o", str(output), "--quiet"]
    )
    assert code == 0
    rows = {row["name"]: row for row in json.loads(output.read_text())["rows"]}
    assert rows.pop("import no_such_module")["value"] is None
    assert all(row["value"] > 0 for row in rows.values())
    for part in (
        BASELINE,
        "one-shot command",
        "peak memory",
        "prompt maps",
        "level decoding",
        "import json",
    ):
        assert any(part in name for name in rows), part
    assert "one-shot command" in capsys.readouterr().out


def test_wrong_sizes_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--sizes", "big"]) == 2
    assert "--sizes" in capsys.readouterr().err
