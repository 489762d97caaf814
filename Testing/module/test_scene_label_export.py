"""Labels leave the scene by name, on exactly the volume's grid, or are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from CPS4SegmentLib.geometry import volume_matrix
from CPS4SegmentLib.label_export import export_labels
from CPS4SegmentLib.level_shift import shift_levels
from CPS4SegmentLib.segment_voxels import oriented_image
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.volume_export import export_volume
from scene_samples import (
    SCHEMA,
    add_transform,
    bent_transform,
    named,
    permuted,
    result_of,
    sagittal,
    spine,
    spine_volume,
    turn,
    write_labels,
)

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import built_in_schema
from CPS4Core.volumes.geometry import geometry_difference


def loaded(
    folder: Path, labels: np.ndarray | None = None, matrix: np.ndarray | None = None
) -> tuple[Any, Any, np.ndarray]:
    """A segmentation, its volume and the labels [k, j, i]."""
    labels = spine() if labels is None else labels
    volume = spine_volume(labels, matrix)
    path = write_labels(labels.astype(np.uint8), folder / "labels.nrrd")
    return import_result(result_of(path), volume), volume, labels


def exported(segmentation: Any, volume: Any, folder: Path, schema: Any = SCHEMA) -> np.ndarray:
    """The exported label map, checked to lie on the exported volume's grid."""
    export_volume(volume, folder / "image.nrrd")
    assert export_labels(segmentation, volume, schema, folder / "out.nrrd") == []
    image, label = (sitk.ReadImage(str(folder / f"{n}.nrrd")) for n in ("image", "out"))
    assert geometry_difference(label, image) is None
    return sitk.GetArrayFromImage(label)


def add_mask(segmentation: Any, name: str, mask: np.ndarray, matrix: np.ndarray) -> str:
    """A segment in a layer of its own; returns its id."""
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.AddRepresentation("Binary labelmap", oriented_image(mask.astype(np.uint8), matrix))
    segmentation.GetSegmentation().AddSegment(segment, f"added {name}")
    return f"added {name}"


@pytest.mark.parametrize("transform", ["none", "turned", "sheared", "bent"])
def test_what_came_in_goes_out_the_same(transform: str, tmp_path: Path) -> None:
    labels, matrix = permuted(spine(), turn(15, 0) @ turn(9, 1) @ sagittal())
    segmentation, volume, _ = loaded(tmp_path, labels, matrix)
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node = {
        "none": lambda: None,
        "turned": lambda: add_transform(turn(33, 1)),
        "sheared": lambda: add_transform(shear),
        "bent": bent_transform,
    }[transform]()
    for moved in (volume, segmentation):
        moved.SetAndObserveTransformNodeID(node.GetID() if node else None)
    assert (exported(segmentation, volume, tmp_path) == labels).all()


def test_values_follow_the_names_in_whatever_order(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path)
    contents = segmentation.GetSegmentation()
    contents.SetSegmentIndex("Segment_1", 0)
    contents.SetSegmentIndex("Segment_11", 3)
    assert (exported(segmentation, volume, tmp_path) == labels).all()


def test_another_schema_gives_its_own_values(tmp_path: Path) -> None:
    spider = built_in_schema("spider")
    labels = np.where(spine() == 1, 0, spine())
    segmentation, volume, _ = loaded(tmp_path, labels)
    out = exported(segmentation, volume, tmp_path, spider)
    assert (out == SCHEMA.remap(labels, spider)).all() and out.max() == 205


def test_renamed_segments_go_by_the_typed_name(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path, np.where(spine() == 1, 0, spine()))
    named(segmentation, "L1").SetName("T12")  # its code still says L1
    named(segmentation, "L2").SetName("Lumbar Vertebra 1")
    out = exported(segmentation, volume, tmp_path)
    assert (out[labels == 6] == 7).all() and (out[labels == 5] == 6).all()
    others = ~np.isin(labels, (5, 6))
    assert (out[others] == labels[others]).all()


def test_a_name_of_one_s_own_goes_by_its_code(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path)
    named(segmentation, "L3").SetName("the broken one")
    assert (exported(segmentation, volume, tmp_path) == labels).all()


def test_a_level_shift_goes_out(tmp_path: Path) -> None:
    labels = np.where(np.isin(spine(), (1, 11)), 0, spine())
    segmentation, volume, _ = loaded(tmp_path, labels)
    shift_levels(segmentation, "Segment_2", "L4")
    out = exported(segmentation, volume, tmp_path)
    assert (out == np.where(labels > 0, labels + 1, 0)).all()


def test_unknown_segments_are_refused_by_name(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path)
    segmentation.GetSegmentation().AddEmptySegment("e", "Segment_1")  # empty ones do not matter
    assert (exported(segmentation, volume, tmp_path) == labels).all()
    add_mask(segmentation, "osteophyte", labels == 0, volume_matrix(volume))
    (tmp_path / "out.nrrd").unlink()
    with pytest.raises(CPS4Error, match="no structure named 'osteophyte'.*Rename or remove"):
        export_labels(segmentation, volume, SCHEMA, tmp_path / "out.nrrd")
    assert not (tmp_path / "out.nrrd").exists()


def test_overlapping_segments_are_refused_by_name_and_layers_are_not(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path, np.where(spine() == 2, 0, spine()))
    l5 = spine() == 2
    segment_id = add_mask(segmentation, "L5", l5, volume_matrix(volume))
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 2
    assert (exported(segmentation, volume, tmp_path) == spine()).all()
    segmentation.GetSegmentation().RemoveSegment(segment_id)
    l5[2, :, 6] |= labels[2, :, 6] == 3
    add_mask(segmentation, "L5", l5, volume_matrix(volume))
    with pytest.raises(CPS4Error, match="overlap in 8 voxels: 'L4' and 'L5'.*Segment Editor"):
        export_labels(segmentation, volume, SCHEMA, tmp_path / "out2.nrrd")


def test_two_segments_of_one_name_become_one_structure(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path)
    more = np.zeros(labels.shape, bool)
    more[5, 30:34, 5:9] = True
    add_mask(segmentation, "L3", more | (labels == 4), volume_matrix(volume))
    assert (exported(segmentation, volume, tmp_path) == np.where(more, 4, labels)).all()


def test_cropped_segments_lie_where_they_were(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path, np.where(spine() == 2, 0, spine()))
    shift = np.eye(4)
    shift[:3, 3] = (3, 60, 1)
    add_mask(segmentation, "L5", (spine() == 2)[1:6, 60:80, 3:18], volume_matrix(volume) @ shift)
    assert (exported(segmentation, volume, tmp_path) == spine()).all()
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert (exported(segmentation, volume, tmp_path) == spine()).all()


def test_voxels_outside_the_volume_are_left_out_and_said(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path, np.where(spine() == 2, 0, spine()))
    l5 = np.pad(spine() == 2, ((0, 0), (0, 0), (3, 0)))
    l5[2, 66:70, 0:3] = True
    shift = np.eye(4)
    shift[0, 3] = -3
    add_mask(segmentation, "L5", l5, volume_matrix(volume) @ shift)
    said = export_labels(segmentation, volume, SCHEMA, tmp_path / "out.nrrd")
    assert said == ["12 voxels of L5 lie outside the volume and were left out"]
    out = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nrrd")))
    assert (out == spine()).all()


def test_labels_on_a_finer_grid_come_down_to_the_volume_s(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path, np.where(spine() == 2, 0, spine()))
    finer = np.diag([0.5, 0.5, 1, 1])
    finer[:3, 3] = (-0.25, -0.25, 0)
    mask = np.repeat(np.repeat(spine() == 2, 2, axis=1), 2, axis=2)
    add_mask(segmentation, "L5", mask, volume_matrix(volume) @ finer)
    assert (exported(segmentation, volume, tmp_path) == spine()).all()


def test_an_empty_segmentation_and_a_foreign_volume_are_refused(tmp_path: Path) -> None:
    segmentation, volume, labels = loaded(tmp_path)
    far = sagittal()
    far[:3, 3] += 1000
    with pytest.raises(CPS4Error, match="lies in the volume"):
        export_labels(segmentation, spine_volume(labels, far), SCHEMA, tmp_path / "out.nrrd")
    segmentation.GetSegmentation().RemoveAllSegments()
    with pytest.raises(CPS4Error, match="is empty. Segment or paint first"):
        export_labels(segmentation, volume, SCHEMA, tmp_path / "out.nrrd")
    assert not (tmp_path / "out.nrrd").exists()


def test_nothing_is_left_in_the_scene(tmp_path: Path) -> None:
    segmentation, volume, _ = loaded(tmp_path)
    count = slicer.mrmlScene.GetNumberOfNodes()
    export_labels(segmentation, volume, SCHEMA, tmp_path / "out.nrrd")
    assert slicer.mrmlScene.GetNumberOfNodes() == count
