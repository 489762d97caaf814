"""A result of the worker as a segmentation in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema, schema_from_dict
from CPS4Core.volumes.reading import read_label_map
from CPS4Core.volumes.segmentation import Segment, segments_of
from CPS4SegmentLib.color_table import color_node
from CPS4SegmentLib.geometry import volume_matrix
from CPS4SegmentLib.result_record import RESULT, SHIFTS, segments, without_paths, write_record
from CPS4SegmentLib.segment_tags import CONFIDENCE, VALUE, dress, set_tag
from CPS4SegmentLib.segment_voxels import BINARY, oriented_image


def import_result(result: Mapping[str, Any], volume: Any, segmentation: Any = None) -> Any:
    """Show a result of the command `segment` and return its segmentation node.

    Voxels land on the volume's own grid, under the volume's parent transform and in its study.
    With `segmentation` the segments of ours in that node are replaced, others stay. Raises
    CPS4Error for a label map that does not fit the volume or the schema, before anything changes.
    """
    schema = schema_from_dict(result["schema"])
    labels = label_array(result["label"], volume, schema)
    node = segmentation or new_segmentation(volume, f"{volume.GetName()} spine")
    with slicer.util.NodeModify(node):
        for segment_id, segment in segments(node).items():
            if segment.HasTag(VALUE):
                node.GetSegmentation().RemoveSegment(segment_id)
        place(node, volume)
        add_segments(node, labels, volume, schema)
        confidence = {s["value"]: s.get("confidence") for s in result.get("structures", [])}
        for segment in segments(node).values():
            value = confidence.get(segment.GetLabelValue()) if segment.HasTag(VALUE) else None
            if value is not None:
                set_tag(segment, CONFIDENCE, f"{value:.4f}")
        write_record(node, RESULT, without_paths(result))
        write_record(node, SHIFTS, None)
    return node


def show_3d(segmentation: Any, on: bool) -> None:
    """Show or remove the surfaces of all segments in the 3D views."""
    if on:
        segmentation.CreateClosedSurfaceRepresentation()
    else:
        segmentation.RemoveClosedSurfaceRepresentation()
    segmentation.CreateDefaultDisplayNodes()
    segmentation.GetDisplayNode().SetVisibility3D(on)


def label_array(path: str | Path, volume: Any, schema: LabelSchema) -> np.ndarray:
    """The label map in a file [k, j, i] (uint8 or uint16), checked against volume and schema."""
    array = sitk.GetArrayFromImage(read_label_map(path))
    size = volume.GetImageData().GetDimensions()
    if array.shape != size[::-1]:
        raise CPS4Error(
            f"The result has {' x '.join(map(str, array.shape[::-1]))} voxels, the volume "
            f"'{volume.GetName()}' {' x '.join(map(str, size))}",
            cure="Segment this volume again",
        )
    foreign = schema.foreign_values(array)
    if foreign:
        raise CPS4Error(
            f"The result holds the values {foreign}, which its label schema does not know",
            path=path,
            cure="Segment again with another model",
        )
    return array.astype(np.uint8 if array.max() < 256 else np.uint16, copy=False)


def new_segmentation(volume: Any, name: str) -> Any:
    """An empty segmentation node on the volume's grid, in its place in the scene."""
    scene = volume.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    place(node, volume)
    return node


def place(segmentation: Any, volume: Any) -> None:
    """Bind a segmentation to the volume's grid, its parent transform and its study."""
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = tree.GetItemByDataNode(volume) if tree else 0
    if item:
        parent = tree.GetItemParent(item)
        own = tree.GetItemByDataNode(segmentation)
        if own:
            tree.SetItemParent(own, parent)
        else:
            tree.CreateItem(parent, segmentation)


def add_segments(segmentation: Any, labels: np.ndarray, volume: Any, schema: LabelSchema) -> None:
    """One segment for each value of `labels` [k, j, i] on the volume's grid, from the top down.

    All share one label map, as Slicer's own import makes them; that import could neither choose the
    segments' ids nor give codes of a terminology that is not loaded.
    """
    present = np.flatnonzero(np.bincount(labels.ravel()))
    shared = oriented_image(labels, volume_matrix(volume))
    contents = segmentation.GetSegmentation()
    contents.SetSourceRepresentationName(BINARY)
    for like in top_down(schema):
        if like.value in present:
            segment = slicer.vtkSegment()
            segment.SetLabelValue(like.value)
            segment.AddRepresentation(BINARY, shared)
            dress(segment, like)
            segment_id = contents.GenerateUniqueSegmentID(f"Segment_{like.value}")
            contents.AddSegment(segment, segment_id)
    segmentation.SetLabelmapConversionColorTableNodeID(
        color_node(schema, segmentation.GetScene()).GetID()
    )


def top_down(schema: LabelSchema) -> list[Segment]:
    """What a schema can name, along the spine from the top, then what has no place on it."""
    order = {s.value: s.order for s in schema.structures if s.order is not None}
    return sorted(segments_of(schema), key=lambda s: -order.get(s.value, -1))
