"""A segmentation as a label map file in a schema's values, on exactly the volume's grid."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema
from CPS4Core.volumes.writing import write_volume
from CPS4SegmentLib.geometry import patient_matrix, sitk_geometry, to_numpy, volume_matrix
from CPS4SegmentLib.result_record import segments
from CPS4SegmentLib.segment_tags import segment_value
from CPS4SegmentLib.segment_voxels import Layer, layers
from CPS4SegmentLib.volume_export import voxels


def export_labels(
    segmentation: Any, volume: Any, schema: LabelSchema, path: str | PathLike[str]
) -> list[str]:
    """Write the label map, in the geometry of `export_volume`; returns what was left out, in words.

    A segment's value follows its name, else its code, never its place in the list; empty segments
    do not count. Voxels outside the volume are left out and said. Raises CPS4Error, naming the
    segments, for names that the schema does not know, for overlapping segments and where there is
    nothing to write.
    """
    found = layers(segmentation)
    filled = {i for layer in found for i, voxels in layer.counts().items() if voxels}
    if not filled:
        raise CPS4Error(
            f"The segmentation '{segmentation.GetName()}' is empty", cure="Segment or paint first"
        )
    own = {i: s for i, s in segments(segmentation).items() if i in filled}
    values = _values(schema, own)
    merged = np.zeros(volume.GetImageData().GetDimensions()[::-1], np.int16)
    for layer in found:
        ids = [i for i in layer.segments.values() if i in filled]
        if ids:
            labels = _layer_labels(segmentation, ids, volume, values)
            _refuse_overlap(merged, labels, values, own)
            np.copyto(merged, labels, where=labels > 0)
    if not merged.any():
        raise CPS4Error(
            f"No segment of '{segmentation.GetName()}' lies in the volume '{volume.GetName()}'",
            cure="Choose the volume that was segmented",
        )
    kind = np.uint8 if max(values.values()) < 256 else np.uint16
    image = sitk.GetImageFromArray(merged.astype(kind))
    sitk_geometry(image, patient_matrix(volume))
    write_volume(image, path)
    return _left_out(segmentation, volume, found, own)


def _values(schema: LabelSchema, own: Mapping[str, Any]) -> dict[str, int]:
    values = {i: segment_value(schema, segment) for i, segment in own.items()}
    unknown = [own[i].GetName() for i, value in values.items() if value is None]
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        raise CPS4Error(
            f"The label schema '{schema.name}' has no structure named {names}",
            cure="Rename or remove this segment; known are "
            + ", ".join(s.name for s in schema.structures),
        )
    return {i: value for i, value in values.items() if value is not None}


def _layer_labels(
    segmentation: Any, ids: list[str], volume: Any, values: Mapping[str, int]
) -> np.ndarray:
    """Segments that do not overlap, in the schema's values on the volume's grid [k, j, i] int16."""
    scene, contents = segmentation.GetScene(), segmentation.GetSegmentation()
    # A table without codes makes Slicer go by the names as they stand now, and by nothing else.
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetNumberOfColors(1 + max(values.values()))
    for segment_id in ids:
        table.SetColor(values[segment_id], contents.GetSegment(segment_id).GetName(), 1, 1, 1, 1)
    target = slicer.vtkMRMLLabelMapVolumeNode()
    target.SetHideFromEditors(True)
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    scene.AddNode(target)
    try:
        done = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
            segmentation,
            ids,
            target,
            volume,
            slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
            table,
        )
        if not done:
            raise CPS4Error(f"Slicer could not export '{segmentation.GetName()}' as a label map")
        return voxels(target).astype(np.int16)
    finally:
        made = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        for node in made:  # Slicer adds a display node and a colour table of its own
            if node.GetID() not in before:
                scene.RemoveNode(node)


def _refuse_overlap(
    merged: np.ndarray, labels: np.ndarray, values: Mapping[str, int], own: Mapping[str, Any]
) -> None:
    both = (merged > 0) & (labels > 0) & (merged != labels)
    if not both.any():
        return
    names = {value: own[i].GetName() for i, value in values.items()}
    pairs = sorted(set(zip(merged[both].tolist(), labels[both].tolist(), strict=True)))
    listed = ", ".join(f"'{names[a]}' and '{names[b]}'" for a, b in pairs)
    raise CPS4Error(
        f"Segments overlap in {np.count_nonzero(both)} voxels: {listed}",
        cure="In the Segment Editor, choose Modify other segments: Overwrite all, and paint there, "
        "or subtract one from the other with Logical operators",
    )


def _left_out(
    segmentation: Any, volume: Any, found: list[Layer], own: Mapping[str, Any]
) -> list[str]:
    """Sentences about voxels beyond the volume's edge; none where a transform bends space."""
    between = vtk.vtkMatrix4x4()
    linear = slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        segmentation.GetParentTransformNode(), volume.GetParentTransformNode(), between
    )
    if not linear:
        return []
    size, sentences = np.array(volume.GetImageData().GetDimensions()), []
    for layer in found:
        to_ijk = np.linalg.solve(volume_matrix(volume), to_numpy(between) @ layer.matrix)
        filled = np.argwhere(layer.voxels)
        places = filled[:, ::-1] @ to_ijk[:3, :3].T + to_ijk[:3, 3]
        outside = filled[((places < -0.5) | (places > size - 0.5)).any(axis=1)]
        counts = np.bincount(layer.voxels[tuple(outside.T)])
        for label, segment_id in layer.segments.items():
            if segment_id in own and label < len(counts) and counts[label]:
                name = own[segment_id].GetName()
                sentences.append(
                    f"{counts[label]} voxels of {name} lie outside the volume and were left out"
                )
    return sentences
