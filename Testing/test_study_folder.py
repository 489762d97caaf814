"""Opening study folders: nnU-Net's, ours, and what is wrong with others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from study_samples import image_array, label_array, make_study, write

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import built_in_schema
from CPS4Core.study.export import consecutive, export_nnunet
from CPS4Core.study.folder import DATASET, Study, case_fingerprint, write_dataset_json
from CPS4Core.study.splits import make_splits


def edit(folder: Path, **changes: object) -> None:
    """Change keys of dataset.json; None removes one."""
    content = json.loads((folder / DATASET).read_text()) | changes
    kept = {k: v for k, v in content.items() if v is not None}
    (folder / DATASET).write_text(json.dumps(kept))


def nnunet_cases(folder: Path) -> dict[str, dict]:
    """What nnU-Net v2 finds and demands (verify_dataset_integrity), in short."""
    content = json.loads((folder / DATASET).read_text())
    assert {"channel_names", "labels", "numTraining", "file_ending"} <= set(content)
    values = list(content["labels"].values())
    assert values == list(range(len(values)))
    ending = content["file_ending"]
    cases = content.get("dataset") or {
        f.name[: -len(ending) - 5]: {
            "images": [f"imagesTr/{f.name}"],
            "label": f"labelsTr/{f.name[: -len(ending) - 5]}{ending}",
        }
        for f in (folder / "imagesTr").iterdir()
    }
    assert len(cases) == content["numTraining"]
    for case in cases.values():
        assert all((folder / f).is_file() for f in [*case["images"], case["label"]])
    return cases


def test_images_without_a_label_are_the_unlabelled_ones(tmp_path: Path) -> None:
    study = Study.open(make_study(tmp_path, labelled=3, unlabelled=2))
    assert list(study.cases) == [f"case_{n:02d}" for n in range(5)]
    assert study.labelled == ["case_00", "case_01", "case_02"]
    assert study.unlabelled == ["case_03", "case_04"]
    assert study.splits is None
    assert study.schema == built_in_schema("mrspineseg")


def test_a_plain_nnunet_folder_works_and_its_test_images_are_not_trained(tmp_path: Path) -> None:
    folder = make_study(tmp_path, labelled=3, unlabelled=0)
    edit(folder, cps4_schema=None, labels={"background": 0, "L5": 2, "L4": 3, "blob": 11})
    write(image_array(50), folder / "imagesTs" / "held_0000.nii.gz")
    (folder / "imagesTr" / "._case_00_0000.nii.gz").write_bytes(b"macOS")
    (folder / "imagesTr" / ".partial-12-x_0000.nii.gz").write_bytes(b"cut")
    study = Study.open(folder)
    assert [s.name for s in study.schema.structures] == ["L5", "L4", "blob"]
    assert "held" in study.test_cases and "held" not in study.cases
    assert len(study.cases) == 3


def test_nnunet_trains_on_the_labelled_cases_of_our_folder(tmp_path: Path) -> None:
    folder = make_study(tmp_path, labelled=3, unlabelled=2)
    assert set(nnunet_cases(folder)) == {"case_00", "case_01", "case_02"}
    write(label_array(3), folder / "labelsTr" / "case_03.nii.gz")
    write_dataset_json(folder, Study.open(folder).schema)
    assert len(nnunet_cases(folder)) == 4


def test_cases_of_nnunets_own_table_count_wherever_their_files_lie(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", labelled=2, unlabelled=1)
    outside = write(image_array(60), tmp_path / "else" / "far.nii.gz")
    label = write(label_array(60), tmp_path / "else" / "far_label.nii.gz")
    table = json.loads((folder / DATASET).read_text())["dataset"]
    edit(folder, dataset=table | {"far": {"images": [str(outside)], "label": str(label)}})
    study = Study.open(folder)
    assert study.cases["far"].image == outside and "far" in study.labelled
    write_dataset_json(folder, study.schema)
    assert "far" in nnunet_cases(folder)


def test_several_channels_need_a_choice(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    second = write(image_array(9), folder / "imagesTr" / "case_02_0001.nii.gz")
    with pytest.raises(CPS4Error, match="'case_02' has several channels") as caught:
        Study.open(folder)
    assert caught.value.path == second
    assert Study.open(folder, channel=0).cases["case_02"].image.name == "case_02_0000.nii.gz"
    assert list(Study.open(folder, channel=1).cases) == ["case_02"]


def test_the_file_ending_is_found_where_dataset_json_does_not_name_it(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    edit(folder, file_ending=None)
    assert Study.open(folder).file_ending == ".nii.gz"
    write(image_array(5), folder / "imagesTr" / "other_0000.mha")
    with pytest.raises(CPS4Error, match="does not say which file_ending"):
        Study.open(folder)
    edit(folder, file_ending=".png")
    with pytest.raises(CPS4Error, match="'.png' is not that of a volume"):
        Study.open(folder)


def test_unusable_folders_say_why(tmp_path: Path) -> None:
    with pytest.raises(CPS4Error, match="no such study folder"):
        Study.open(tmp_path / "absent")
    with pytest.raises(CPS4Error, match="no dataset.json"):
        Study.open(tmp_path)
    folder = make_study(tmp_path / "study")
    (folder / "splits.json").write_text('{"train": []')
    with pytest.raises(CPS4Error, match=r"splits\.json"):
        Study.open(folder)
    shutil.rmtree(folder / "imagesTr")
    with pytest.raises(CPS4Error):
        Study.open(folder)
    (folder / DATASET).write_text("[1]")
    with pytest.raises(CPS4Error, match="not a JSON object"):
        Study.open(folder)


def test_a_fingerprint_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"spine")
    second.write_bytes(b"spine")
    # By sha256sum: another rule would invalidate the provenance recorded in models.
    assert case_fingerprint(first) == "f0dd190c13c467ed"
    assert case_fingerprint(second) == case_fingerprint(first)
    second.write_bytes(b"spines")
    assert case_fingerprint(first) != case_fingerprint(second)
    with pytest.raises(CPS4Error):
        case_fingerprint(tmp_path / "c")


def test_an_export_is_a_strict_nnunet_data_set(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", labelled=6, unlabelled=3)
    study = Study.open(folder)
    study.splits = make_splits(study, val=1, test=2, seed=0)
    chosen = study.select(2)
    out = export_nnunet(study, chosen, tmp_path / "raw", number=7)
    assert out.name == "Dataset007_study"
    assert set(nnunet_cases(out)) == {*chosen.labelled, *chosen.val}
    assert json.loads((out / "splits_final.json").read_text()) == [
        {"train": sorted(chosen.labelled), "val": list(chosen.val)}
    ]
    tests = {f.name.removesuffix("_0000.nii.gz") for f in (out / "imagesTs").iterdir()}
    assert tests == set(chosen.test)
    again = Study.open(out)
    assert again.labelled == sorted([*chosen.labelled, *chosen.val])


def test_an_export_renumbers_values_that_nnunet_would_refuse(tmp_path: Path) -> None:
    import numpy as np
    import SimpleITK as sitk

    spider = built_in_schema("spider")
    folder = make_study(tmp_path / "study", labelled=0, unlabelled=0, schema=spider)
    write(image_array(1), folder / "imagesTr" / "one_0000.nii.gz")
    label = write(label_array(1, (1, 100, 201)), folder / "labelsTr" / "one.nii.gz")
    write_dataset_json(folder, spider)
    study = Study.open(folder)
    out = export_nnunet(study, study.select("all"), tmp_path / "raw")
    nnunet_cases(out)
    new = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "labelsTr" / "one.nii.gz")))
    old = sitk.GetArrayFromImage(sitk.ReadImage(str(label)))
    for name in ("L5", "canal", "L5/S"):
        index = spider.index_of(name)
        assert np.array_equal(new == index, old == spider.structures[index - 1].value)
    assert consecutive(built_in_schema("mrspineseg")) == built_in_schema("mrspineseg")
