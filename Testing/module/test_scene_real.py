"""A real volume with its own label map for a result: exact, quick, and visibly in place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from CPS4SegmentLib.label_export import export_labels
from CPS4SegmentLib.level_shift import shift_levels
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.structures import jump, list_structures, spine_warnings
from CPS4SegmentLib.volume_export import export_volume
from scene_samples import names_of, result_of, write_labels

from CPS4Core.files import read_json
from CPS4Core.schema import schema_from_dataset_json

IMPORT_SECONDS, LIST_SECONDS = 2.0, 0.5


@pytest.fixture
def study(real_data: Path) -> Path:
    return real_data / "spider-t2space"


def load(study: Path, case: str) -> tuple[Any, dict[str, Any], Path]:
    """The volume of a case, a result made of its label map, and the label map's file."""
    volume = slicer.util.loadVolume(str(study / "imagesTr" / f"{case}_0000.nii.gz"))
    description = study / "dataset.json"
    schema = schema_from_dataset_json(read_json(description), description)
    label = study / "labelsTr" / f"{case}.nii.gz"
    return volume, result_of(label, schema), label


def test_a_real_case_goes_in_and_out_unchanged(study: Path, tmp_path: Path) -> None:
    volume, result, label = load(study, "spider_007")
    truth = sitk.ReadImage(str(label))
    segmentation = import_result(result, volume)
    schema = schema_from_dataset_json(read_json(study / "dataset.json"), study / "dataset.json")
    assert export_labels(segmentation, volume, schema, tmp_path / "out.nrrd") == []
    export_volume(volume, tmp_path / "image.nrrd")
    out, image = (sitk.ReadImage(str(tmp_path / f"{n}.nrrd")) for n in ("out", "image"))
    assert (sitk.GetArrayFromImage(out) == sitk.GetArrayFromImage(truth)).all()
    for written in (out, image):
        assert written.GetDirection() == pytest.approx(truth.GetDirection())
        assert written.GetOrigin() == pytest.approx(truth.GetOrigin(), abs=1e-3)
        assert written.GetSpacing() == pytest.approx(truth.GetSpacing())
    rows = list_structures(segmentation)
    assert rows[0].name == "T11" and rows[-1].name == "ignore"
    assert spine_warnings(segmentation) == []  # the sacrum is not labelled, its disc is
    ras = jump(segmentation, "Segment_3")
    index = truth.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
    assert truth[index] == 3


def test_a_real_case_one_level_off_is_put_right_in_one_step(study: Path, tmp_path: Path) -> None:
    volume, result, label = load(study, "spider_007")
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(label)))
    shifted = np.where(np.isin(truth, range(2, 20)), truth + 1, 0)  # L5 is called L4, and so on
    shifted[truth == 19] = 0
    path = write_labels(shifted.astype(np.uint8), tmp_path / "shifted.nrrd", label)
    segmentation = import_result(result | {"label": str(path)}, volume)
    assert any("anchor not visible" in w for w in spine_warnings(segmentation))
    shift_levels(segmentation, "Segment_3", "L5")
    assert spine_warnings(segmentation) == []
    assert "L5" in names_of(segmentation) and "T10" not in names_of(segmentation)


@pytest.mark.parametrize("size", [(15, 512, 512), (30, 512, 640)])
def test_import_and_table_are_quick(size: tuple[int, int, int], tmp_path: Path) -> None:
    from scene_samples import SCHEMA, sagittal, spine_volume

    labels = np.zeros(size, np.uint8)
    for number, structure in enumerate(SCHEMA.structures[2:]):
        top = 480 - 28 * number if structure.kind == "vertebra" else 460 - 28 * (number - 8)
        labels[2:-2, max(top, 0) : max(top, 0) + 18, 200:330] = structure.value
    volume = spine_volume(labels, sagittal())
    path = write_labels(labels, tmp_path / "labels.nrrd")
    start = time.perf_counter()
    segmentation = import_result(result_of(path), volume)
    imported = time.perf_counter()
    rows = list_structures(segmentation)
    listed = time.perf_counter()
    assert len(rows) == 17
    assert imported - start < IMPORT_SECONDS
    assert listed - imported < LIST_SECONDS
