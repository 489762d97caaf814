"""The review's rows, warnings and jumps follow the voxels and names as they are now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from CPS4SegmentLib.color_table import color_node
from CPS4SegmentLib.geometry import volume_matrix
from CPS4SegmentLib.segment_voxels import common_grid, layers, oriented_image
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.structures import (
    StructureRow,
    center,
    jump,
    list_structures,
    set_visible,
    spine_warnings,
)
from scene_samples import (
    LEVELS,
    SCHEMA,
    SPACING,
    add_transform,
    named,
    result_of,
    spine,
    spine_volume,
    turn,
    write_labels,
)

from CPS4Core.errors import CPS4Error

VOXEL = float(np.prod(SPACING))


def loaded(labels: np.ndarray, folder: Path, **more: Any) -> Any:
    path = write_labels(labels.astype(np.uint8), folder / "labels.nrrd")
    return import_result(result_of(path, **more), spine_volume(labels))


def rows_of(segmentation: Any) -> dict[str, StructureRow]:
    return {row.name: row for row in list_structures(segmentation)}


def paint(segmentation: Any, name: str, mask: np.ndarray) -> None:
    """Set a segment's voxels, as the Segment Editor would."""
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    contents = segmentation.GetSegmentation()
    segment_id = contents.GetSegmentIdBySegmentName(name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), segmentation, segment_id, volume
    )


def test_rows_run_down_the_spine_with_volumes_from_the_voxels(tmp_path: Path) -> None:
    labels = spine()
    rows = list_structures(loaded(labels, tmp_path))
    assert [r.name for r in rows] == [
        "L1",
        "L1/L2",
        "L2",
        "L2/L3",
        "L3",
        "L3/L4",
        "L4",
        "L4/L5",
        "L5",
        "L5/S",
        "S",
    ]
    for row in rows:
        structure = SCHEMA.structures[SCHEMA.index_of(row.name) - 1]
        assert row.volume_mm3 == pytest.approx(VOXEL * (labels == structure.value).sum())
        assert row.confidence == pytest.approx(0.9 - 0.01 * structure.value)
        assert (row.kind, row.color) == (structure.kind, structure.color)
        assert row.full_name == structure.full_name
        assert row.visible and not row.warnings and not row.named_by_hand


def test_an_edit_shows_in_the_volumes(tmp_path: Path) -> None:
    labels = spine()
    segmentation = loaded(labels, tmp_path)
    more = labels == 4
    more[1:5, :, 15] |= (labels[1:5] == 4).any(axis=2)
    paint(segmentation, "L3", more)
    rows = rows_of(segmentation)
    assert rows["L3"].volume_mm3 == pytest.approx(VOXEL * more.sum())
    assert rows["L4"].volume_mm3 == pytest.approx(VOXEL * (labels == 3).sum())


def test_a_scaling_transform_counts_in_the_volumes(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    before = rows_of(segmentation)["L3"].volume_mm3
    segmentation.SetAndObserveTransformNodeID(add_transform(np.diag([2.0, 1, 1, 1])).GetID())
    assert rows_of(segmentation)["L3"].volume_mm3 == pytest.approx(2 * before)


def test_unknown_and_empty_segments_are_listed_last_and_say_so(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    segmentation.GetSegmentation().AddEmptySegment("new", "osteophyte")
    row = list_structures(segmentation)[-1]
    assert (row.name, row.kind, row.volume_mm3, row.confidence) == (
        "osteophyte",
        "unknown",
        0,
        None,
    )
    assert (
        any("rename the segment" in w for w in row.warnings)
        and "The segment is empty" in row.warnings
    )


def test_visibility(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    set_visible(segmentation, "Segment_4", False)
    assert [r.name for r in list_structures(segmentation) if not r.visible] == ["L3"]
    set_visible(segmentation, "Segment_4", True)
    assert all(r.visible for r in list_structures(segmentation))
    with pytest.raises(CPS4Error, match="no segment 'nowhere'"):
        set_visible(segmentation, "nowhere", True)


def test_a_clean_spine_has_no_warnings_in_any_orientation(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    assert spine_warnings(segmentation) == []
    segmentation.SetAndObserveTransformNodeID(add_transform(turn(25, 0)).GetID())
    assert spine_warnings(segmentation) == []


def test_missing_doubled_swapped_and_anchorless_levels_are_found(tmp_path: Path) -> None:
    labels = spine()
    no_l3 = np.where(labels == 4, 0, labels)
    assert spine_warnings(loaded(no_l3, tmp_path)) == ["Missing between S and L1: L3"]
    twice = np.where(labels == 4, 3, labels)
    warnings = spine_warnings(loaded(twice, tmp_path))
    assert "Found at two places: L4" in warnings
    swapped = labels.copy()
    swapped[labels == 4], swapped[labels == 3] = 3, 4
    assert any(w.startswith("Out of order") for w in spine_warnings(loaded(swapped, tmp_path)))
    upper = np.where(np.isin(labels, (1, 11)), 0, labels)
    (warning,) = spine_warnings(loaded(upper, tmp_path))
    assert warning.startswith("Level anchor not visible: neither S nor L5/S")


def test_upside_down_by_a_transform_is_out_of_order(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    segmentation.SetAndObserveTransformNodeID(add_transform(turn(180, 0)).GetID())
    assert any(w.startswith("Out of order") for w in spine_warnings(segmentation))


def test_a_correction_takes_its_warning_away(tmp_path: Path) -> None:
    labels = spine()
    segmentation = loaded(
        np.where(labels == 4, 0, labels), tmp_path, warnings=["Missing between S and L1: L3"]
    )
    assert "Missing between S and L1: L3" in spine_warnings(segmentation)
    segmentation.GetSegmentation().AddEmptySegment("painted", "L3")
    paint(segmentation, "L3", labels == 4)
    assert spine_warnings(segmentation) == []


def test_the_result_s_own_warnings_stay_until_the_user_names_a_level(tmp_path: Path) -> None:
    stored = [
        "The volume was acquired in axial slices 5.0 mm apart; its sagittal view is coarse",
        "Level uncertain: L1, L2",
        "Merged: no disc was seen at L3/L4",
    ]
    segmentation = loaded(spine(), tmp_path, warnings=stored)
    assert spine_warnings(segmentation) == stored
    rows = rows_of(segmentation)
    assert rows["L1"].warnings == rows["L2"].warnings == [stored[1]]
    assert rows["L1/L2"].warnings == []
    assert rows["L3/L4"].warnings == [stored[2]]
    assert rows["L3"].warnings == rows["L4"].warnings == []  # where it says L3/L4, L4 is not meant
    named(segmentation, "L1").SetName("T12")
    assert stored[0] in spine_warnings(segmentation)
    assert not set(stored[1:]) & set(spine_warnings(segmentation))


def test_a_typed_name_counts_more_than_the_old_code(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    named(segmentation, "L1").SetName("lumbar vertebra 3")
    rows = {r.segment_id: r for r in list_structures(segmentation)}
    assert rows["Segment_6"].full_name == "Lumbar Vertebra 3" and rows["Segment_6"].named_by_hand
    assert rows["Segment_6"].confidence is None
    assert "More than one segment is named L3" in spine_warnings(segmentation)


def test_levels_in_layers_of_other_extents_and_grids_are_checked_together(tmp_path: Path) -> None:
    labels = spine()
    segmentation = loaded(np.where(labels == 4, 0, labels), tmp_path)
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    finer = slicer.vtkOrientedImageData()  # L3 with voxels half as wide, cropped around it
    finer.DeepCopy(_oriented(labels == 4, volume))
    segment = slicer.vtkSegment()
    segment.SetName("L3")
    segment.AddRepresentation("Binary labelmap", finer)
    segmentation.GetSegmentation().AddSegment(segment, "fine")
    values = {
        i: int(i.rsplit("_")[-1]) for i in segmentation.GetSegmentation().GetSegmentIDs()[:-1]
    }
    merged, matrix = common_grid(layers(segmentation), values | {"fine": 4})
    assert (merged == labels).all() and (matrix == volume_matrix(volume)).all()
    assert spine_warnings(segmentation) == []
    assert rows_of(segmentation)["L3"].volume_mm3 == pytest.approx(VOXEL * (labels == 4).sum())


def _oriented(mask: np.ndarray, volume: Any) -> Any:
    double = np.repeat(mask.astype(np.uint8), 2, axis=2)[1:6, 20:60]
    matrix = volume_matrix(volume)
    half = np.diag([0.5, 1, 1, 1])
    half[:3, 3] = (-0.25, 20, 1)
    return oriented_image(double, matrix @ half)


def test_jumping_puts_a_voxel_of_the_structure_into_all_views(tmp_path: Path) -> None:
    labels = spine()
    segmentation = loaded(labels, tmp_path)
    segmentation.SetAndObserveTransformNodeID(add_transform(turn(30, 2)).GetID())
    views = [slicer.app.layoutManager().sliceWidget(n) for n in ("Red", "Yellow", "Green")]
    ras = jump(segmentation, "Segment_3")
    for view in views:
        place = view.mrmlSliceNode().GetXYToRAS()
        width, height, _ = view.mrmlSliceNode().GetDimensions()
        middle = place.MultiplyPoint((width / 2, height / 2, 0, 1))[:3]
        assert np.allclose(middle, ras, atol=1e-3)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert crosshair.GetCrosshairRAS() == pytest.approx(ras)


def test_the_centre_of_a_ring_lies_in_the_ring(tmp_path: Path) -> None:
    labels = np.zeros((5, 30, 20), np.uint16)
    labels[1:4, 5:25, 3:17] = 2
    labels[1:4, 8:22, 6:14] = 0
    segmentation = loaded(labels, tmp_path)
    volume = slicer.util.getNode("Case 1")
    place = np.linalg.solve(volume_matrix(volume), [*center(segmentation, "Segment_2"), 1])
    i, j, k = place[:3].round().astype(int)
    assert labels[k, j, i] == 2


def test_a_segmentation_that_slicer_itself_imported_and_cropped_is_reviewed_too() -> None:
    labels = np.pad(spine(), ((0, 0), (20, 0), (5, 0)))
    volume = spine_volume(labels)
    node = slicer.util.addVolumeFromArray(labels, nodeClassName="vtkMRMLLabelMapVolumeNode")
    node.CopyOrientation(volume)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(color_node(SCHEMA).GetID())
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(node, segmentation)
    rows = list_structures(segmentation)
    assert [r.name for r in rows] == list(LEVELS) and spine_warnings(segmentation) == []
    for row in rows:
        place = np.linalg.solve(volume_matrix(volume), [*center(segmentation, row.segment_id), 1])
        i, j, k = place[:3].round().astype(int)
        assert labels[k, j, i] == SCHEMA.structures[SCHEMA.index_of(row.name) - 1].value


def test_an_empty_segment_has_no_centre(tmp_path: Path) -> None:
    segmentation = loaded(spine(), tmp_path)
    segmentation.GetSegmentation().AddEmptySegment("new", "osteophyte")
    with pytest.raises(CPS4Error, match=re.escape("Segment 'osteophyte' is empty. Paint it")):
        jump(segmentation, "new")


def test_a_foreign_segmentation_is_refused_with_a_cure(tmp_path: Path) -> None:
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "liver")
    foreign.GetSegmentation().AddEmptySegment("a", "liver lobe")
    with pytest.raises(CPS4Error, match="'liver' was not made by CPS4 Spine Segment"):
        list_structures(foreign)
