"""Models to choose from: installed ones and those in folders, each with what is wrong with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import write_tiny_model

from CPS4Core.files import write_json
from CPS4Core.inference import models
from CPS4Core.inference.calibration import CALIBRATION
from CPS4Core.inference.fingerprint import model_fingerprint
from CPS4Core.inference.listing import ListedModel, list_models
from CPS4Core.model_folder import ModelInfo, read_model
from CPS4Core.schema import schema_from_dict


@pytest.fixture
def tiny(tmp_path: Path) -> ModelInfo:
    return write_tiny_model(tmp_path / "trained" / "tiny")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two empty places of installed models."""
    found = [tmp_path / "own", tmp_path / "shipped"]
    monkeypatch.setattr(models, "model_places", lambda: found)
    return found


def one(folder: Path) -> ListedModel:
    (model,) = list_models([folder])
    return model


def change(folder: Path, **content: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def test_a_model_tells_what_a_user_chooses_by(tiny: ModelInfo) -> None:
    change(
        tiny.folder,
        provenance={
            "study": "SPIDER",
            "licence": "CC BY 4.0",
            "labelled": ["a", "b"],
            "unlabelled": ["c"],
            "phantoms": {"count": 7},
        },
        metrics={"card": {"original": {"what": "test cases", "cases": 3, "dice": 0.75}}},
    )
    found = one(tiny.folder)
    assert (found.name, found.folder) == ("tiny", str(tiny.folder))
    assert (found.data, found.licence) == ("SPIDER", "CC BY 4.0")
    assert found.trained_on == "2 labelled and 1 unlabelled cases, 7 phantoms"
    assert found.quality == "mDice 0.750 on 3 test cases"
    assert found.structures == tiny.schema.class_names[1:]
    assert found.schema and schema_from_dict(found.schema) == tiny.schema
    assert not (found.prompt_maps or found.new_prompts or found.calibrated)
    assert found.problem is None
    assert json.loads(json.dumps(found.to_dict()))["problem"] is None


def test_installed_ones_come_first_and_each_folder_once(
    tiny: ModelInfo, places: list[Path], tmp_path: Path
) -> None:
    for place, names in zip(places, (["zebra"], ["apple", "zebra"]), strict=True):
        for name in names:
            shutil.copytree(tiny.folder, place / name)
    (places[1] / ".partial-apple").mkdir()
    (places[1] / "notes").mkdir()
    run = tmp_path / "run"
    shutil.copytree(tiny.folder, run / "model")
    given = [tmp_path / "trained", tiny.folder, run, run / "model", places[1]]
    listed = [(m.name, m.folder) for m in list_models(given)]
    assert listed == [
        ("zebra", str(places[0] / "zebra")),
        ("apple", str(places[1] / "apple")),
        ("tiny", str(tiny.folder)),
        ("run", str(run / "model")),
        ("zebra", str(places[1] / "zebra")),
    ]
    assert not any(m.problem for m in list_models(given))


def test_a_trained_run_is_found_in_the_folder_of_runs(tiny: ModelInfo, tmp_path: Path) -> None:
    for part in ("model", "stage1/model"):
        shutil.copytree(tiny.folder, tmp_path / "runs" / "first" / part)
    found = one(tmp_path / "runs")
    assert found.name == "first" and found.folder.endswith("first/model") and not found.problem


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _cut(folder: Path) -> None:
    path = folder / "network.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _pointer(folder: Path) -> None:
    (folder / "network.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def _stage1(folder: Path) -> None:
    _without("network.safetensors")(folder)
    change(folder, files=[])


def _other_option(folder: Path) -> None:
    config = json.loads((folder / "model.json").read_text())["config"]
    change(folder, config=config | {"crystal_ball": True})


def _other_calibration(folder: Path) -> None:
    write_json(folder / CALIBRATION, {"format_version": 1, "model": "another", "levels": {}})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("network.safetensors"), "lacks network.safetensors.*Copy the whole folder"),
        (_without("model.json"), "description of the model is missing"),
        (_cut, "weights are cut off or damaged.*Copy the whole folder"),
        (_pointer, "weights are cut off or damaged"),
        (_stage1, "stage 1 only.*cps4 train"),
        (lambda f: change(f, format_version=2), "has format 2.*Install the CPS4Core version"),
        (lambda f: (f / "model.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "model.json").write_text("[]"), "not a JSON object"),
        (lambda f: change(f, provenance=[1]), "lacks or misstates"),
        (lambda f: change(f, schema={"name": "x"}), "lacks or misstates 'structures'"),
        (lambda f: change(f, metrics={"card": {"a": {}}}), "lacks or misstates 'dice'"),
        (_other_option, "crystal_ball"),
        (_other_calibration, "fitted to another model"),
    ],
)
def test_what_cannot_be_used_says_why(
    damage: Callable[[Path], None], said: str, tiny: ModelInfo, tmp_path: Path
) -> None:
    good = shutil.copytree(tiny.folder, tmp_path / "trained" / "good")
    damage(tiny.folder)
    for given in (tiny.folder, tiny.folder.parent):
        found = {m.name: m for m in list_models([given])}
        problem = found["tiny"].problem
        assert problem is not None and re.search(f"(?s){said}", problem), problem
        assert found["tiny"].folder == str(tiny.folder)
    assert found["good"].problem is None and Path(found["good"].folder) == good


def test_folders_without_a_model_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    listed = list_models([tmp_path / "empty", tmp_path / "missing", tmp_path / "file"])
    assert [m.name for m in listed] == ["empty", "missing", "file"]
    assert "holds no model" in str(listed[0].problem)
    assert all("There is no such folder" in str(m.problem) for m in listed[1:])


def test_a_calibration_of_its_own_counts(tiny: ModelInfo) -> None:
    curve = {"kind": "isotonic", "signs": ["formula"], "at": [0, 1], "values": [0, 1]}
    content = {"format_version": 1, "model": model_fingerprint(read_model(tiny.folder))}
    fitted = {"structure": {"curve": curve}, "case": {"curve": curve}}
    rule = tiny.config.inference.levels
    write_json(tiny.folder / CALIBRATION, content | {"levels": {rule: fitted}})
    assert one(tiny.folder).calibrated
    write_json(tiny.folder / CALIBRATION, content | {"levels": {}})
    assert one(tiny.folder).problem is None and not one(tiny.folder).calibrated
