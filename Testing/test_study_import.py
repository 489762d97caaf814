"""Importers: values, geometry, resuming, and that nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_samples import SIZE, image_array, label_array, write

from CPS4Core.cli.main import main
from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.schema import built_in_schema
from CPS4Core.study.check import check_study
from CPS4Core.study.folder import DATASET, SOURCES, Study
from CPS4Core.study.importers import find_flat, find_mrspineseg
from CPS4Core.study.importing import import_study


def bring(source: Path, output: Path, kind: str, *more: str) -> int:
    """Run `cps4 study import`."""
    return main(
        [
            "study",
            "import",
            str(source),
            "--format",
            kind,
            "--output",
            str(output),
            "--quiet",
            *more,
        ]
    )


def pixels(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.fixture
def mrspineseg(tmp_path: Path) -> Path:
    root = tmp_path / "MRSpineSeg"
    for n in (1, 2, 7, 12):
        write(image_array(n), root / "train" / "MR" / f"Case{n}.nii.gz")
        if n != 12:
            write(label_array(n), root / "train" / "Mask" / f"mask_case{n}.nii.gz")
    return root


def test_mrspineseg_with_gaps_and_an_unlabelled_case(mrspineseg: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    assert bring(mrspineseg, out, "mrspineseg") == 0
    study = Study.open(out)
    assert study.labelled == ["Case1", "Case2", "Case7"] and study.unlabelled == ["Case12"]
    assert study.schema == built_in_schema("mrspineseg")
    source = mrspineseg / "train"
    assert study.cases["Case7"].image.read_bytes() == (source / "MR/Case7.nii.gz").read_bytes()
    assert np.array_equal(pixels(out / "labelsTr/Case7.nii.gz"), label_array(7))
    assert check_study(out) == []


def test_a_bad_case_is_reported_and_the_rest_comes_in(
    mrspineseg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    write(label_array(2)[:2], mrspineseg / "train/Mask/mask_case2.nii.gz")
    (mrspineseg / "train/MR/Case7.nii.gz").write_text("no image")
    write(label_array(1), mrspineseg / "train/Mask/mask_case40.nii.gz")
    assert bring(mrspineseg, out, "mrspineseg") == 1
    text = capsys.readouterr().out
    assert "Case2" in text and "Case7" in text and "mask_case40.nii.gz" in text
    assert sorted(Study.open(out).cases) == ["Case1", "Case12"]
    assert json.loads((out / DATASET).read_text())["numTraining"] == 1
    write(label_array(2), mrspineseg / "train/Mask/mask_case2.nii.gz")
    write(image_array(7), mrspineseg / "train/MR/Case7.nii.gz")
    assert bring(mrspineseg, out, "mrspineseg") == 0
    assert Study.open(out).labelled == ["Case1", "Case2", "Case7"]


class StopAfter(Progress):
    """Cancels after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def emit(self, event: dict) -> None:
        if event["event"] == "step":
            self.left -= 1
            self.cancelled = self.left <= 0


def test_an_interrupted_import_is_a_study_and_goes_on(mrspineseg: Path, tmp_path: Path) -> None:
    from CPS4Core.errors import Cancelled

    out, found = tmp_path / "study", find_mrspineseg(mrspineseg)
    with pytest.raises(Cancelled):
        import_study(found, out, found.schema, StopAfter(2))
    assert list(Study.open(out).cases) == ["Case1", "Case2"]
    # As if killed after Case2's image was written, before its label and its record were.
    (out / "labelsTr/Case2.nii.gz").unlink()
    record = json.loads((out / SOURCES).read_text())
    del record["Case2"]
    (out / SOURCES).write_text(json.dumps(record))
    times = {f: f.stat().st_mtime_ns for f in out.rglob("*.nii.gz")}
    result = import_study(found, out, found.schema)
    assert (result.present, result.problems) == (["Case1"], [])
    assert result.imported == ["Case2", "Case7", "Case12"]
    assert {f: f.stat().st_mtime_ns for f in times} == times
    assert import_study(found, out, found.schema).imported == []


def test_corrected_labels_and_other_images_are_never_overwritten(
    mrspineseg: Path, tmp_path: Path
) -> None:
    out, found = tmp_path / "study", find_mrspineseg(mrspineseg)
    import_study(found, out, found.schema)
    write(label_array(5, (4, 5)), out / "labelsTr/Case1.nii.gz")
    write(label_array(3, (6,)), mrspineseg / "train/Mask/mask_case1.nii.gz")
    write(image_array(99), mrspineseg / "train/MR/Case2.nii.gz")
    result = import_study(found, out, found.schema)
    assert [(p.severity, p.case) for p in result.problems] == [
        ("warning", "Case1"),
        ("error", "Case2"),
    ]
    assert np.array_equal(pixels(out / "labelsTr/Case1.nii.gz"), label_array(5, (4, 5)))
    assert np.array_equal(pixels(out / "imagesTr/Case2_0000.nii.gz"), image_array(2))


def test_files_of_unknown_origin_in_the_study_are_kept(mrspineseg: Path, tmp_path: Path) -> None:
    out, found = tmp_path / "study", find_mrspineseg(mrspineseg)
    write(image_array(1), out / "imagesTr/Case1_0000.nii.gz")
    write(label_array(4, (9,)), out / "labelsTr/Case1.nii.gz")
    write(image_array(98), out / "imagesTr/Case2_0000.nii.gz")
    result = import_study(found, out, found.schema)
    assert [(p.severity, p.case) for p in result.problems] == [
        ("warning", "Case1"),
        ("error", "Case2"),
    ]
    assert np.array_equal(pixels(out / "labelsTr/Case1.nii.gz"), label_array(4, (9,)))
    assert np.array_equal(pixels(out / "imagesTr/Case2_0000.nii.gz"), image_array(98))
    assert not (out / "labelsTr/Case2.nii.gz").exists()


def test_a_mask_that_comes_later_makes_the_case_labelled(mrspineseg: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    bring(mrspineseg, out, "mrspineseg")
    write(label_array(12), mrspineseg / "train/Mask/mask_case12.nii.gz")
    assert bring(mrspineseg, out, "mrspineseg") == 0
    assert "Case12" in Study.open(out).labelled
    assert json.loads((out / DATASET).read_text())["numTraining"] == 4


@pytest.fixture
def spider(tmp_path: Path) -> Path:
    root = tmp_path / "SPIDER"
    for n in (1, 2, 3):
        for sequence in ("t1", "t2", "t2_SPACE"):
            if (n, sequence) == (3, "t1"):
                continue
            seed = 10 * n + len(sequence) + ord(sequence[1])
            write(image_array(seed), root / "images" / f"{n}_{sequence}.mha")
            values = (1, 5, 6, 10, 105, 100, 201, 209, 210)
            write(label_array(n, values), root / "masks" / f"{n}_{sequence}.mha")
    return root


def test_spider_values_become_mrspinesegs_and_higher_levels_are_ignored(
    spider: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    assert bring(spider, out, "spider") == 0
    study = Study.open(out)
    assert list(study.cases) == ["spider_001_t2", "spider_002_t2", "spider_003_t2"]
    assert study.schema.ignore_value == 20
    label = out / "labelsTr/spider_002_t2.nii.gz"
    old, new = pixels(spider / "masks/2_t2.mha"), pixels(label)
    # L5, L1, T12, T8, part of L1, canal, L5/S, T9/T10 and T8/T9 in the values of both sets.
    expected = {0: 0, 1: 2, 5: 6, 6: 7, 10: 20, 105: 6, 100: 0, 201: 11, 209: 19, 210: 20}
    assert {int(v): sorted(set(new[old == v].tolist())) for v in np.unique(old)} == {
        k: [v] for k, v in expected.items()
    }
    assert new.dtype == np.uint8
    source, stored = sitk.ReadImage(str(spider / "images/2_t2.mha")), study.cases["spider_002_t2"]
    copy = sitk.ReadImage(str(stored.image))
    assert np.array_equal(sitk.GetArrayFromImage(source), sitk.GetArrayFromImage(copy))
    assert np.allclose(source.GetDirection(), copy.GetDirection())
    assert np.allclose(source.GetOrigin(), copy.GetOrigin())
    assert [p for p in check_study(out) if p.severity == "error"] == []


def test_the_sequences_of_a_spider_patient_are_not_split_apart(
    spider: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    assert bring(spider, out, "spider", "--sequence", "t2", "t2_SPACE") == 0
    assert main(["study", "split", str(out), "--val", "1", "--test", "1", "--quiet"]) == 0
    splits = Study.open(out).splits
    assert splits is not None
    for part in (splits.val, splits.test):
        assert len(part) == 2 and len({case[:10] for case in part}) == 1
    assert main(["study", "split", str(out), "--quiet"]) == 2
    with pytest.raises(CPS4Error, match="No images N_t9"):
        from CPS4Core.study.importers import find_spider

        find_spider(spider, ["t9"])


def test_flat_folders_with_masks_beside_or_elsewhere(tmp_path: Path) -> None:
    beside, other = tmp_path / "beside", tmp_path / "other"
    for n, mask in enumerate(("a_seg", "b-Mask", "label_IM_0003", None)):
        name = ("a", "b", "IM_0003", "IM_0004")[n]
        write(image_array(n), beside / f"{name}.nii.gz")
        if mask:
            write(label_array(n), beside / f"{mask}.nii.gz")
    found = find_flat(beside, None, built_in_schema("mrspineseg"))
    assert [(s.id, bool(s.label)) for s in found.sources] == [
        ("IM_0003", True),
        ("IM_0004", False),
        ("a", True),
        ("b", True),
    ]
    for n in range(3):
        write(image_array(n), other / "scans" / f"p {n}_0000.nrrd")
    write(label_array(1), other / "masks" / "p 1.mha")
    out = tmp_path / "study"
    assert bring(other / "scans", out, "flat", "--masks", str(other / "masks")) == 0
    assert list(Study.open(out).cases) == ["p_0", "p_1", "p_2"]
    assert Study.open(out).labelled == ["p_1"]
    assert np.array_equal(pixels(out / "imagesTr/p_2_0000.nii.gz"), image_array(2))


def test_a_doubled_case_is_left_out_and_said(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "b.nii.gz"):
        write(image_array(len(name)), tmp_path / "in" / name)
    found = find_flat(tmp_path / "in", None, built_in_schema("mrspineseg"))
    assert [s.id for s in found.sources] == ["b"]
    assert [(p.severity, p.case) for p in found.problems] == [("error", "a")]


def test_a_flat_import_takes_the_schema_of_the_masks(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "study"
    write(image_array(1), source / "a.nii.gz")
    write(label_array(1, (1, 2)), source / "a_seg.nii.gz")
    (source / DATASET).write_text(json.dumps({"labels": {"background": 0, "disc": 1, "bone": 2}}))
    assert bring(source, out, "flat") == 0
    assert [s.name for s in Study.open(out).schema.structures] == ["disc", "bone"]
    wrong = tmp_path / "wrong"
    assert bring(source, wrong, "flat", "--schema", "totalspineseg") == 0  # 1, 2: cord and canal
    write(label_array(1, (3,)), source / "a_seg.nii.gz")
    assert bring(source, tmp_path / "foreign", "flat", "--schema", "totalspineseg") == 1


def test_masks_of_another_numbering_are_converted_to_the_studys(
    mrspineseg: Path, tmp_path: Path
) -> None:
    out, source = tmp_path / "study", tmp_path / "in"
    bring(mrspineseg, out, "mrspineseg")
    write(image_array(70), source / "new.nii.gz")
    write(label_array(70, (45, 100)), source / "new_seg.nii.gz")  # L5 and L5/S
    assert bring(source, out, "flat", "--schema", "totalspineseg") == 0
    assert set(np.unique(pixels(out / "labelsTr/new.nii.gz"))) == {0, 2, 11}
    (source / "other.json").write_text(json.dumps({"labels": {"background": 0, "heart": 45}}))
    assert bring(source, out, "flat", "--schema", str(source / "other.json")) == 2


def test_dicom_folders_become_cases(tmp_path: Path) -> None:
    source = tmp_path / "in" / "scan A"
    source.mkdir(parents=True)
    array = image_array(3).astype(np.uint16)
    for z in range(SIZE[0]):
        piece = sitk.GetImageFromArray(array[z : z + 1])
        piece.SetSpacing((0.5, 0.75, 4.0))
        for tag, value in {
            "0008|0060": "MR",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.3.{z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0032": f"0\\0\\{4 * z}",
            "0020|0013": str(z + 1),
        }.items():
            piece.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(source / f"{z:03d}.dcm"))
        writer.Execute(piece)
    out = tmp_path / "study"
    assert bring(source.parent, out, "flat") == 0
    assert list(Study.open(out).cases) == ["scan_A"]
    assert np.array_equal(pixels(out / "imagesTr/scan_A_0000.nii.gz"), array)


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    assert bring(tmp_path / "absent", tmp_path / "s", "flat") == 2
    (tmp_path / "empty").mkdir()
    for kind in ("flat", "spider", "mrspineseg"):
        assert bring(tmp_path / "empty", tmp_path / "s", kind) == 2
    assert not (tmp_path / "s").exists()
