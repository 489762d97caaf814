"""Splits: counts, orders, and that nothing of validation or test reaches training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study_samples import image_array, label_array, make_study, write

from CPS4Core.errors import CPS4Error
from CPS4Core.study.folder import SOURCES, SPLITS, Study
from CPS4Core.study.splits import default_splits, make_splits


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.open(make_study(tmp_path / "study", labelled=12, unlabelled=8))


def with_splits(study: Study, **changes: Any) -> Study:
    """The study reopened with splits.json: 2 test, 2 validation, 16 training cases."""
    names = list(study.cases)
    content: dict[str, Any] = {
        "test": names[:2],
        "val": names[2:4],
        "train": names[4:],
        "always_unlabelled": [names[11]],
        "labelled_count": {"5%": 1, "25%": 3},
        "labelled_order": {"0": names[4:11], "1": names[4:11][::-1]},
    } | changes
    (study.folder / SPLITS).write_text(json.dumps(content))
    return Study.open(study.folder)


@pytest.mark.parametrize("order", ["0", "1", "2"])
def test_the_benchmark_splits_select_the_stated_counts_and_leak_nothing(
    real_data: Path, order: str
) -> None:
    folder = real_data / "spider-t2space"
    if not folder.is_dir():
        pytest.skip("needs spider-t2space")
    study = Study.open(folder)
    recorded = json.loads((folder / SPLITS).read_text())
    for labelled, expected in (("5%", 1), ("10%", 2), ("0.25", 5), (0.5, 10), (4, 4), ("all", 18)):
        chosen = study.select(labelled, order)
        assert chosen.labelled == tuple(recorded["labelled_order"][order][:expected])
        training = {*chosen.labelled, *chosen.unlabelled}
        assert training == set(recorded["train"])
        assert training.isdisjoint([*recorded["val"], *recorded["test"]])
        assert set(recorded["always_unlabelled"]) <= set(chosen.unlabelled)
        assert (chosen.val, chosen.test) == (tuple(recorded["val"]), tuple(recorded["test"]))


def test_a_stated_count_wins_over_the_ratio_and_other_ratios_count_all_training_cases(
    study: Study,
) -> None:
    study = with_splits(study)
    assert len(study.select("25%").labelled) == 3  # stated; 25 % of 16 would be 4
    assert len(study.select("0.25").labelled) == 3
    assert len(study.select("12.5%").labelled) == 2
    assert len(study.select("1%").labelled) == 1
    assert study.select(2, "1").labelled == ("case_10", "case_09")


def test_always_unlabelled_cases_never_teach_with_their_label(study: Study) -> None:
    study = with_splits(study)
    chosen = study.select("all")
    assert study.cases["case_11"].label is not None
    assert "case_11" in chosen.unlabelled and "case_11" not in chosen.labelled


def test_later_cases_join_training_and_are_labelled_only_after_the_fixed_order(
    study: Study,
) -> None:
    with_splits(study)
    write(image_array(77), study.folder / "imagesTr" / "added_0000.nii.gz")
    write(label_array(7), study.folder / "labelsTr" / "added.nii.gz")
    write(label_array(8), study.folder / "labelsTr" / "case_15.nii.gz")  # a corrected case
    study = Study.open(study.folder)
    assert {"added", "case_15"} <= set(study.select("5%").unlabelled)
    assert study.select("5%").labelled == ("case_04",)
    assert {"added", "case_15"} <= set(study.select("all").labelled)
    assert study.select(8).labelled[-1] == "case_15"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"val": ["case_04"]}, "'case_04' in 'train' and in 'val'"),
        ({"test": ["case_02"]}, "'case_02' in 'val' and in 'test'"),
        ({"always_unlabelled": ["case_04"]}, "'case_04' in labelled order '0'"),
        ({"labelled_order": {"0": ["case_00"]}}, "not in 'train'"),
        ({"train": ["case_05", "case_05"], "labelled_order": {}}, "twice in 'train'"),
        ({"train": "case_05"}, "list of case ids"),
    ],
)
def test_contradicting_splits_are_refused(study: Study, change: dict, words: str) -> None:
    with pytest.raises(CPS4Error, match=words):
        with_splits(study, **change)


def test_missing_labels_and_cases_are_named(study: Study) -> None:
    opened = with_splits(study)
    (study.folder / "labelsTr" / "case_04.nii.gz").unlink()
    opened = Study.open(study.folder)
    with pytest.raises(CPS4Error, match="No label file for the labelled cases 'case_04'"):
        opened.select(1)
    assert opened.select(1, "1").labelled == ("case_10",)
    opened = with_splits(study, val=["case_99"])
    with pytest.raises(CPS4Error, match="'case_99', which the study does not hold"):
        opened.select(1, "1")
    opened = with_splits(study, val=[], test=["elsewhere"])
    assert opened.select(1, "1").test == ("elsewhere",)


@pytest.mark.parametrize("amount", ["0", 0, "half", "150%", -1, "-5%", "1.5", True, "nan"])
def test_senseless_amounts_are_refused(study: Study, amount: Any) -> None:
    with pytest.raises(CPS4Error, match="neither a number of cases nor a share"):
        with_splits(study).select(amount)


def test_asking_for_more_labels_than_there_are_says_how_many_there_are(study: Study) -> None:
    with pytest.raises(CPS4Error, match="9 labelled training cases are wanted, 7 have"):
        with_splits(study).select(9)
    with pytest.raises(CPS4Error, match="no labelled order '5'"):
        with_splits(study).select(1, "5")


def test_made_splits_repeat_by_seed_and_keep_unlabelled_cases_in_training(study: Study) -> None:
    first, again = (make_splits(study, val=0.25, test=2, seed=3) for _ in range(2))
    other = make_splits(study, val=0.25, test=2, seed=4)
    assert first.to_dict() | {"created": 0} == again.to_dict() | {"created": 0}
    assert (first.test, first.val) != (other.test, other.val)
    assert (len(first.test), len(first.val), len(first.train)) == (2, 3, 15)
    assert set(study.unlabelled) <= set(first.train)
    assert first.labelled_count == {"5%": 1, "10%": 2, "25%": 4}  # 50 % would need 8 of 7 labels
    assert first.seed == 3 and first.created
    assert len({tuple(row) for row in first.labelled_order.values()}) == 3
    for row in first.labelled_order.values():
        assert sorted(row) == sorted(set(study.labelled) - {*first.val, *first.test})
    first.write(study.folder / SPLITS)
    reread = Study.open(study.folder).splits
    assert reread is not None and reread.to_dict() == first.to_dict()


def test_existing_splits_stay_unless_forced_and_then_leave_a_copy(study: Study) -> None:
    path = study.folder / SPLITS
    make_splits(study, seed=0).write(path)
    before = path.read_text()
    with pytest.raises(CPS4Error, match="has splits already"):
        make_splits(study, seed=1).write(path)
    assert path.read_text() == before
    make_splits(study, seed=1).write(path, force=True)
    assert path.read_text() != before
    assert json.loads((study.folder / "splits.previous.json").read_text()) == json.loads(before)


def _by_pair(case: str) -> str:
    return str(int(case[-2:]) // 2)


@pytest.mark.parametrize("group", [_by_pair, None])
@pytest.mark.parametrize("seed", range(5))
def test_the_scans_of_one_patient_stay_together(
    study: Study, seed: int, group: Callable[[str], str] | None
) -> None:
    if group is None:  # what an import recorded serves by itself
        record = {case: {"patient": _by_pair(case)} for case in study.cases}
        (study.folder / SOURCES).write_text(json.dumps(record))
    splits = make_splits(study, val=2, test=3, seed=seed, group=group)
    sides = [{_by_pair(c) for c in part} for part in (splits.train, splits.val, splits.test)]
    assert splits.test and splits.val
    for i in range(3):
        for j in range(i):
            assert sides[i].isdisjoint(sides[j])


@pytest.mark.parametrize(("labelled", "val"), [(1, 0), (2, 0), (3, 1), (12, 1)])
def test_default_splits_leave_something_to_teach(tmp_path: Path, labelled: int, val: int) -> None:
    study = Study.open(make_study(tmp_path, labelled=labelled, unlabelled=1))
    splits = default_splits(study, seed=1)
    assert (len(splits.val), splits.test) == (val, [])
    chosen = study.select("all", seed=1)
    assert len(chosen.labelled) == labelled - val
    assert chosen.val == tuple(splits.val)


def test_a_study_without_labels_cannot_be_split(tmp_path: Path) -> None:
    study = Study.open(make_study(tmp_path, labelled=0, unlabelled=2))
    with pytest.raises(CPS4Error, match="No labelled case is left"):
        default_splits(study)
