"""A .seg.nrrd and a .mrb give everything back: names, colours, codes, tags, result and shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.level_shift import can_undo_shift, shift_levels, undo_shift
from CPS4SegmentLib.segment_tags import CONFIDENCE, VALUE, code_of, tag
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.structures import list_structures, spine_warnings
from scene_samples import (
    SCHEMA,
    add_transform,
    named,
    names_of,
    result_of,
    segment_array,
    spine,
    spine_volume,
    turn,
    write_labels,
)

from CPS4Core.volumes.segmentation import read_segmentation
from CPS4Core.volumes.writing import write_segmentation

LUMBAR = ("L1", "L1/L2", "L2", "L2/L3", "L3", "L3/L4", "L4")
WARNING = "Few slices | and a bar: kept"


@pytest.fixture
def shifted(tmp_path: Path) -> Any:
    labels = spine(LUMBAR)
    path = write_labels(labels.astype(np.uint8), tmp_path / "labels.nrrd")
    segmentation = import_result(result_of(path, warnings=[WARNING]), spine_volume(labels))
    shift_levels(segmentation, "Segment_3", "L5")
    return segmentation


def content(segmentation: Any) -> dict[str, tuple[Any, ...]]:
    own = segmentation.GetSegmentation()
    found = {}
    for segment_id in own.GetSegmentIDs():
        segment = own.GetSegment(segment_id)
        color = tuple(np.round(np.array(segment.GetColor()) * 255).astype(int).tolist())
        tags = (tag(segment, VALUE), tag(segment, CONFIDENCE), code_of(segment))
        found[segment_id] = (segment.GetName(), color, *tags)
    return found


def check(loaded: Any, before: dict[str, tuple[Any, ...]], rows: list[Any]) -> None:
    assert content(loaded) == before
    assert list_structures(loaded) == rows
    assert WARNING in spine_warnings(loaded)
    assert schema_of(loaded) == SCHEMA
    assert can_undo_shift(loaded)
    undo_shift(loaded)
    assert names_of(loaded) == list(LUMBAR)


def test_a_seg_nrrd_alone_carries_everything(shifted: Any, tmp_path: Path) -> None:
    before, rows = content(shifted), list_structures(shifted)
    assert slicer.util.saveNode(shifted, str(tmp_path / "spine.seg.nrrd"))
    slicer.mrmlScene.Clear(0)
    check(slicer.util.loadSegmentation(str(tmp_path / "spine.seg.nrrd")), before, rows)


def test_a_seg_nrrd_carries_it_whichever_segments_are_removed(shifted: Any, tmp_path: Path) -> None:
    for segment_id in list(shifted.GetSegmentation().GetSegmentIDs())[:-1]:
        shifted.GetSegmentation().RemoveSegment(segment_id)
    slicer.util.saveNode(shifted, str(tmp_path / "spine.seg.nrrd"))
    slicer.mrmlScene.Clear(0)
    loaded = slicer.util.loadSegmentation(str(tmp_path / "spine.seg.nrrd"))
    assert schema_of(loaded) == SCHEMA and can_undo_shift(loaded)


def test_the_core_reads_what_slicer_saved(shifted: Any, tmp_path: Path) -> None:
    slicer.util.saveNode(shifted, str(tmp_path / "spine.seg.nrrd"))
    image, found = read_segmentation(tmp_path / "spine.seg.nrrd", SCHEMA)
    assert {s.name: (s.value, s.code) for s in found} == {
        s.name: (s.value, s.code)
        for s in SCHEMA.structures
        if s.name in ("L2", "L2/L3", "L3", "L3/L4", "L4", "L4/L5", "L5")
    }


def test_a_segmentation_of_the_core_is_known_without_a_result(tmp_path: Path) -> None:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(spine().astype(np.uint8))
    write_segmentation(image, tmp_path / "spine.seg.nrrd", SCHEMA)
    loaded = slicer.util.loadSegmentation(str(tmp_path / "spine.seg.nrrd"))
    assert schema_of(loaded).name == SCHEMA.name
    assert {r.name for r in list_structures(loaded)} == set(names_of(loaded))
    shift = [r for r in list_structures(loaded) if r.name == "L5"][0].segment_id
    shift_levels(loaded, shift, "L4")
    assert can_undo_shift(loaded)


def test_a_scene_comes_back_whole(shifted: Any, tmp_path: Path) -> None:
    volume = slicer.util.getNode("Case 1")
    transform = add_transform(turn(20, 0))
    for node in (volume, shifted):
        node.SetAndObserveTransformNodeID(transform.GetID())
    mask = segment_array(shifted, "L5", volume)
    before, rows = content(shifted), list_structures(shifted)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    loaded, volume = slicer.util.getNode("Case 1 spine"), slicer.util.getNode("Case 1")
    assert loaded.GetParentTransformNode() is volume.GetParentTransformNode() is not None
    assert (segment_array(loaded, "L5", volume) == mask).all()
    assert loaded.GetNodeReference(loaded.GetReferenceImageGeometryReferenceRole()) is volume
    from CPS4SegmentLib.color_table import color_node

    count = len(slicer.util.getNodesByClass("vtkMRMLColorTableNode"))
    assert color_node(SCHEMA) is loaded.GetLabelmapConversionColorTableNode()
    assert len(slicer.util.getNodesByClass("vtkMRMLColorTableNode")) == count
    check(loaded, before, rows)
    assert named(loaded, "L4") is not None
