"""Passing a model on: what goes along, how large it may be, and where it is found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import write_tiny_model
from tiny_study import tiny_config, write_tiny_study

import CPS4Core
from CPS4Core.cli.main import main
from CPS4Core.device import choose_precision
from CPS4Core.errors import CPS4Error
from CPS4Core.inference import models
from CPS4Core.inference.models import installed_models, open_model
from CPS4Core.model_export import export_model
from CPS4Core.model_folder import load_network, load_weights, read_model
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.model import load_prompt_attention
from CPS4Core.study.folder import Study
from CPS4Core.training.run import Run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    study = Study.open(write_tiny_study(root / "study"))
    precision = choose_precision(torch.device("cpu"), "fp32")
    Run(root / "run", study, tiny_config(), "all", "0", 3, precision).stage2(Progress())
    return root / "run"


def size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_float16_is_smaller_and_labels_the_same(run_folder, tmp_path):
    (run_folder / "model" / "openvino").mkdir(exist_ok=True)
    (run_folder / "model" / "openvino" / "network.bin").write_bytes(b"x" * 10)
    source = read_model(run_folder)
    made = export_model(source, tmp_path / "small", half=True)
    assert made.size == size_of(tmp_path / "small") < size_of(source.folder)
    assert made.changed is not None and made.changed <= 1e-3
    assert not (tmp_path / "small" / "openvino").exists()
    weights = load_weights(tmp_path / "small" / "network.safetensors")
    assert weights["head.weight"].dtype == torch.float16 and weights["head.bias"].dtype.itemsize > 2
    image = torch.rand(1, 1, 40, 32)
    with torch.inference_mode():
        first, second = (load_network(i)(image) for i in (source, made.info))
    assert second.dtype == torch.float32 and torch.allclose(first, second, atol=1e-2)
    assert load_prompt_attention(made.info) and made.info.has_text_encoder
    assert made.info.name == "small" and made.info.provenance["weights"] == "float16"
    assert made.info.provenance["labelled"] == source.provenance["labelled"]
    assert made.info.provenance["classes"] == {"L5": 2, "L4/L5": 2, "L4": 2}


def test_float16_that_changes_labels_is_refused(run_folder, tmp_path):
    with pytest.raises(CPS4Error, match="changes the class"):
        export_model(read_model(run_folder), tmp_path / "small", half=True, tolerance=-1)
    assert not (tmp_path / "small").exists()


def test_parts_may_stay_behind(run_folder, tmp_path):
    source = read_model(run_folder)
    made = export_model(source, tmp_path / "mute", text_encoder=False)
    assert made.info.has_prompt_maps and not made.info.has_text_encoder
    made = export_model(source, tmp_path / "plain", maps=False)
    assert not made.info.has_prompt_maps and not made.info.has_text_encoder
    assert load_network(made.info)


def test_too_large_a_model_is_refused_and_the_old_one_kept(run_folder, tmp_path, capsys):
    old = tmp_path / "small"
    assert main(["model", "export", str(run_folder), "-o", str(old), "--limit", "20"]) == 0
    before = (old / "model.json").read_bytes()
    assert main(["model", "export", str(run_folder), "-o", str(old), "--limit", "0.001"]) == 2
    assert "more than 0.001 MB" in capsys.readouterr().err
    assert (old / "model.json").read_bytes() == before


def test_a_description_with_paths_is_refused(run_folder, tmp_path):
    shutil.copytree(run_folder / "model", tmp_path / "model")
    description = tmp_path / "model" / "model.json"
    content = json.loads(description.read_text())
    content["provenance"]["study"] = str(tmp_path / "secret")
    description.write_text(json.dumps(content))
    with pytest.raises(CPS4Error, match="of this machine"):
        export_model(read_model(tmp_path / "model"), tmp_path / "out")


def test_where_models_are_looked_for(tmp_path, monkeypatch):
    package = tmp_path / "site" / "CPS4Core"
    package.mkdir(parents=True)
    monkeypatch.setattr(CPS4Core, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv(models.VARIABLE, str(tmp_path / "own"))
    places = [tmp_path / "own", tmp_path / "site" / "Resources" / "models"]
    places.append(package / "Resources" / "models")
    for number, place in reversed(list(enumerate(places))):
        write_tiny_model(place / f"model{number}", 1)
        assert open_model(None).name == f"model{number}", "the first place that has one decides"
    assert sorted(installed_models()) == ["model0", "model1", "model2"]
    assert open_model(Path("model2")).folder == places[2] / "model2"
    with pytest.raises(CPS4Error, match="model0, model1, model2"):
        open_model(Path("model3"))


def test_info_lists_installed_models(tmp_path, monkeypatch, capsys):
    write_tiny_model(tmp_path / "good", 1)
    broken = write_tiny_model(tmp_path / "broken", 1).folder
    (broken / "network.safetensors").unlink()
    description = tmp_path / "good" / "model.json"
    content = json.loads(description.read_text())
    content["provenance"] = {"study": "SPIDER", "licence": "CC BY 4.0", "phantoms": {"count": 7}}
    content["metrics"] = {"card": {"original": {"what": "test cases", "cases": 3, "dice": 0.75}}}
    description.write_text(json.dumps(content))
    monkeypatch.setattr(models, "model_places", lambda: [tmp_path])
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    for text in ("name good", "SPIDER", "CC BY 4.0", "7 phantoms", "mDice 0.750 on 3 test cases"):
        assert text in said
    assert "lacks network.safetensors" in said


def test_a_wheel_carries_the_models(tmp_path):
    """Built and unpacked without the network, then used from outside the checkout."""
    pytest.importorskip("setuptools", "77")
    root = Path(CPS4Core.__file__).parents[1]
    if not (root / "setup.py").is_file():
        pytest.skip("needs the source checkout")
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".*")
    shutil.copytree(root / "CPS4Core", source / "CPS4Core", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(root / name, source / name)
    write_tiny_model(source / "Resources" / "models" / "tiny", 1)
    (source / "Resources" / "models" / "tiny" / "openvino").mkdir()
    (source / "Resources" / "models" / "tiny" / "openvino" / "x.bin").write_text("made here")
    build = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(tmp_path / "site")]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)
    code = (
        "from CPS4Core.inference.models import installed_models\n"
        "import CPS4Core\nprint(CPS4Core.__file__)\nprint(*installed_models().values(), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    file, *found = done.stdout.splitlines()
    assert file.startswith(str(tmp_path / "site"))
    model = tmp_path / "site" / "CPS4Core" / "Resources" / "models" / "tiny"
    assert str(model) in found and not (model / "openvino").exists()
    assert read_model(model).name == "tiny"
