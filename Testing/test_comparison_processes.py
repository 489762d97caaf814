"""Runs of a comparison that share a process: each is what it would be in one of its own."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tiny_study import TINY_OPTIONS, write_tiny_study

from CPS4Core.comparison import pool as pools
from CPS4Core.comparison.execute import run_matrix
from CPS4Core.comparison.matrix import Matrix, choose_rows
from CPS4Core.comparison.pool import Pool
from CPS4Core.errors import Cancelled
from CPS4Core.methods.rows import rows
from CPS4Core.model_folder import load_weights


def matrix(study: Path, output: Path, seeds: tuple[int, ...]) -> Matrix:
    chosen = choose_rows(rows(), ["labelled-only", "cps4"])
    settings = (*TINY_OPTIONS, "augmentation.elastic_probability=0.5")
    return Matrix(study, output, chosen, ("1",), seeds, settings=settings, scored="held-out")


def weights(output: Path, run: str, file: str) -> dict[str, torch.Tensor]:
    (found,) = (output / "runs").glob(f"{run}/{file}")
    return load_weights(found)


@pytest.fixture
def started(monkeypatch) -> list[pools.Steps]:
    """The processes that were started."""
    made: list[pools.Steps] = []
    start = pools.Steps.__init__
    monkeypatch.setattr(
        pools.Steps, "__init__", lambda self, *given: (made.append(self), start(self, *given))[1]
    )
    return made


def test_a_run_in_a_used_process_equals_one_in_a_fresh_process(tmp_path, started) -> None:
    study = write_tiny_study(tmp_path / "study", val=2)
    done = run_matrix(matrix(study, tmp_path / "both", (0, 1)), threads=1, device="cpu")
    assert not done.failed and len(started) == 1 and not started[0].alive
    run_matrix(matrix(study, tmp_path / "alone", (1,)), threads=1, device="cpu")
    for run, file in (
        ("stage1-*_1_1", "stage1/model/vision_language.safetensors"),
        ("cps4_1_1", "model/network.safetensors"),
        ("labelled-only_1_1", "model/network.safetensors"),  # the first of its fresh process
    ):
        used, fresh = (weights(tmp_path / o, run, file) for o in ("both", "alone"))
        assert used.keys() == fresh.keys() and all(torch.equal(used[k], fresh[k]) for k in used)
    first, second = ((tmp_path / "both/logs" / f"cps4_1_{s}.txt").read_text() for s in (0, 1))
    assert "cps4_1_1" in second and "cps4_1_1" not in first and "cps4_1_0" not in second


def test_a_process_goes_to_the_next_run_unless_it_died_or_was_stopped(tmp_path, started) -> None:
    environment, logs = dict(os.environ), [tmp_path / f"{n}.txt" for n in range(3)]
    with closing(Pool()) as pool:
        with pool.process(logs[0], environment, keep=True) as first:
            assert first.run(["methods", "--no-such-option"]) == 2
        with pool.process(logs[1], environment, keep=True) as second:
            assert second is first and second.run(["methods"]) == 0
        assert "unrecognized arguments" in logs[0].read_text()
        assert "mean-teacher" in logs[1].read_text() and "error" not in logs[1].read_text()
        with pool.process(logs[2], environment | {"MINE": "1"}, keep=True) as other:
            assert other is not first and other.run(["methods"]) == 0
        with pool.process(logs[2], environment, keep=False) as own:
            assert own not in (first, other)
        with pool.process(logs[2], environment, keep=True) as dying:
            assert dying is first
            dying.terminate()  # between two commands: nothing to be saved
            assert dying.run(["methods"]) != 0
        with pool.process(logs[2], environment, keep=True) as fourth:
            assert fourth not in (first, other, own)
            with pytest.raises(RuntimeError), pool.process(logs[2], environment, keep=True) as bad:
                raise RuntimeError("a run failed")
            assert not bad.alive
            pool.stop()
        with pytest.raises(Cancelled), pool.process(logs[2], environment, keep=True):
            pass
    assert not any(process.alive for process in started)
