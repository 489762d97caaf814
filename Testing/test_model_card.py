"""The model card: changed copies with right labels, numbers from the evaluation, honest words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import tiny_config, write_tiny_study

from CPS4Core.cli.main import main
from CPS4Core.device import choose_precision
from CPS4Core.model_card.variants import VARIANTS, majority_slices, make_variant
from CPS4Core.model_folder import read_model
from CPS4Core.phantom import make_phantom
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study
from CPS4Core.training.run import Run
from CPS4Core.volumes.sagittal import to_sagittal
from CPS4Core.volumes.writing import write_volume


def test_thick_slices_keep_structures_where_they_are() -> None:
    made = make_phantom(1, size=96, slices=12)
    for volume in made:
        volume.SetSpacing((*volume.GetSpacing()[:2], 1.1))
    image, labels = (to_sagittal(v) for v in made)
    thick = next(v for v in VARIANTS if v.thick)
    changed, names = make_variant(thick, image, labels, 0)
    assert changed.GetSize()[2] == names.GetSize()[2] == 3
    assert changed.GetSpacing()[2] == pytest.approx(4.4)
    stack = to_sagittal(names).array
    share = np.mean([(stack[k] == labels.array[4 * k + 1]).mean() for k in range(3)])
    assert share > 0.9


def test_majority_of_slices() -> None:
    labels = np.array([1, 1, 3, 3, 3, 0, 7])[:, None, None]
    assert majority_slices(labels, 3).ravel().tolist() == [1, 3]
    assert majority_slices(labels, 99).ravel().tolist() == [3]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_variants_change_grey_values_and_nothing_else(variant) -> None:
    image, labels = (to_sagittal(v) for v in make_phantom(1, size=96, slices=12))
    changed, names = make_variant(variant, image, labels, 0)
    again, _ = make_variant(variant, image, labels, 0)
    grey = to_sagittal(changed).array
    assert np.array_equal(grey, to_sagittal(again).array)
    assert changed.GetSize() == names.GetSize() and grey.std() > 10
    if not variant.thick:
        assert np.array_equal(to_sagittal(names).array, labels.array)
        low, high = np.percentile(image.array, (0.5, 99.5))
        plain = 1000 * np.clip((image.array - low) / (high - low), 0, 1)
        assert np.abs(grey - plain).mean() > 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a test case, a run on it, and a scan without labels."""
    root = tmp_path_factory.mktemp("card")
    study = write_tiny_study(root / "study", val=2)
    splits = json.loads((study / "splits.json").read_text())
    splits["val"], splits["test"] = ["val0"], ["val1"]
    (study / "splits.json").write_text(json.dumps(splits))
    write_volume(make_phantom(2, size=96, sacrum_visible=False)[0], root / "lumbar.nii.gz")
    precision = choose_precision(torch.device("cpu"), "fp32")
    config = tiny_config("stage2.method=labelled-only", "stage2.epochs=30")
    Run(root / "run", Study.open(study), config, "all", "0", 3, precision).stage2(Progress())
    return root


def card(root: Path, output: Path, *options: object) -> int:
    arguments = ["model", "card", root / "run", root / "study", "-o", output, *options]
    device = ("--device", "cpu", "--engine", "torch", "--threads", "1", "--quiet")
    return main([str(a) for a in (*arguments, *device)])


def test_a_card_is_written_from_measurements(root: Path, tmp_path: Path) -> None:
    options = ("--phantoms", 1, "--no-anchor", root / "lumbar.nii.gz", "--split", "test")
    assert card(root, tmp_path / "out", *options) == 0
    folder = root / "run" / "model"
    text = (folder / "README.md").read_text()
    scores = json.loads((tmp_path / "out" / "original" / "scores" / "metrics.json").read_text())
    dice = scores["cases"]["val1"]["measures"]["dice"]
    assert f"| val1 | {dice:.3f}" in text
    assert f"| as they are | 1 | {scores['summary']['dice']['mean']:.3f} |" in text
    for variant in VARIANTS:
        assert variant.what in text
    for part in ("no medical device", "licence not stated", "L5 (2)", "cases with labels | 2"):
        assert part in text, part
    assert "--set stage2.epochs=30" in text and "--split test" in text
    assert 'the warning "Level anchor not visible" came in' in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (folder / line.partition("(")[2].rstrip(")")).is_file()
    kept = read_model(folder).metrics["card"]["original"]
    assert kept["dice"] == pytest.approx(dice) and kept["what"] == "test cases as they are"
    assert str(root) not in text + (folder / "model.json").read_text()


def test_structures_that_no_label_showed_are_named(root: Path, tmp_path: Path) -> None:
    from CPS4Core.model_card.text import _labels

    info = read_model(root / "run")
    info.provenance["classes"] = {"L5": 2, "L4/L5": 0, "L4": 2}
    assert "Not labelled: L4/L5" in _labels(info)
    info.provenance["phantoms"] = {"count": 5}
    assert "Learned from phantoms only: L4/L5" in _labels(info)


def test_a_case_that_taught_the_model_is_no_test(root: Path, tmp_path: Path, capsys) -> None:
    study = tmp_path / "study"
    shutil.copytree(root / "study", study)
    splits = json.loads((study / "splits.json").read_text())
    splits["test"], splits["train"] = ["labelled1"], ["labelled0", "unlabelled0", "unlabelled1"]
    splits["labelled_order"] = {"0": ["labelled0"]}
    (study / "splits.json").write_text(json.dumps(splits))
    shutil.copytree(root / "run", tmp_path / "run")
    assert card(tmp_path, tmp_path / "out") == 2
    assert "trained on cases of the part 'test': labelled1" in capsys.readouterr().err
