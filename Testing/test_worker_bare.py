"""A Python with nothing installed but numpy: the worker says what is missing and lists models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_process import ROOT, WorkerProcess

from CPS4Core import requirements
from CPS4Core.requirements import missing_requirements

BLOCKER = """
import sys

NAMES = {names!r}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Blocker())
"""
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker in whose Python every needed package but numpy is hidden."""
    packages = [line.partition(">=")[0] for line in requirements.requirements()]
    names = {MODULES.get(package, package) for package in packages if package != "numpy"}
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(names=names | {"openvino"}))
    with WorkerProcess(PYTHONPATH=str(tmp_path)) as process:
        assert process.next()["event"] == "ready"
        yield process


def test_probe_lists_what_is_missing(bare: WorkerProcess) -> None:
    result = bare.ask("probe")["result"]
    assert result["torch"] is None and result["openvino"] is None
    assert [device["name"] for device in result["devices"]] == ["cpu"]
    assert result["default"] == "cpu"
    expected = [line for line in requirements.requirements() if not line.startswith("numpy")]
    assert result["missing"] == expected and "torch>=2.6" in expected


def test_models_are_listed(bare: WorkerProcess) -> None:
    models = bare.ask("models")["result"]["models"]
    mine = next(m for m in models if m["name"] == "spider-t2-lumbar")
    assert mine["problem"] is None and mine["calibrated"]
    assert mine["structures"][:2] == ["S", "L5"] and "mDice" in mine["quality"]


def test_segmenting_says_which_package_is_missing(bare: WorkerProcess, tmp_path: Path) -> None:
    for command in ("segment", "maps"):
        answer = bare.ask(command, volume="a.nii.gz", output=str(tmp_path / "out"))
        assert answer["event"] == "failed" and not answer["internal"]
        assert "No module named" in answer["message"] and "requirements.txt" in answer["message"]


def test_nothing_is_missing_here() -> None:
    assert missing_requirements() == []


def test_too_old_and_broken_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.5.9+cu124", "numpy": "1.26.0rc1", "pillow": "10.1", "timm": "1.0.15"}
    real = requirements.metadata.version
    monkeypatch.setattr(
        requirements.metadata, "version", lambda name: versions.get(name) or real(name)
    )
    assert missing_requirements() == ["pillow>=10.1.1", "torch>=2.6"]
    assert missing_requirements(broken=("timm",)) == [
        "pillow>=10.1.1",
        "timm>=1.0.15",
        "torch>=2.6",
    ]


def test_the_installed_package_asks_for_the_same_list() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dependencies = { file = ["CPS4Core/requirements.txt"] }' in project
    assert '    "requirements.txt",' in project, "and brings the list along"
