"""A result becomes named, coded segments on the volume's own voxels, wherever the volume lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from CPS4SegmentLib.color_table import color_node, schema_of
from CPS4SegmentLib.segment_tags import code_of, tag
from CPS4SegmentLib.segmentation_import import import_result, show_3d
from CPS4SegmentLib.structures import center
from CPS4SegmentLib.volume_export import export_volume
from scene_samples import (
    SCHEMA,
    add_transform,
    bent_transform,
    named,
    names_of,
    permuted,
    result_of,
    sagittal,
    segment_array,
    spine,
    spine_volume,
    turn,
    write_labels,
)

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.sagittal import to_sagittal


def segment(volume: Any, folder: Path) -> dict[str, Any]:
    """What the worker does, with a threshold for a model: file in, sagittal stack, file out."""
    export_volume(volume, folder / "in.nrrd")
    stack = to_sagittal(sitk.ReadImage(str(folder / "in.nrrd")))
    labels = np.where(stack.array > 100, stack.array - 100, 0).astype(np.uint8)
    sitk.WriteImage(stack.restore(labels), str(folder / "out.nrrd"))
    return result_of(folder / "out.nrrd")


def shear() -> np.ndarray:
    matrix = np.eye(4)
    matrix[1, 2] = 0.4
    return matrix


TRANSFORMS = {
    "none": lambda: None,
    "turned": lambda: add_transform(turn(40, 0) @ turn(10, 1)),
    "mirrored and stretched": lambda: add_transform(np.diag([-1.0, 1.2, 1.2, 1.0])),
    "sheared": lambda: add_transform(shear()),
    "bent": bent_transform,
}


@pytest.mark.parametrize("grid", ["straight", "oblique", "permuted and flipped"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_labels_land_on_the_voxels_they_were_made_from(
    grid: str, transform: str, tmp_path: Path
) -> None:
    labels, matrix = spine(), sagittal()
    if grid != "straight":
        matrix = turn(12, 2) @ turn(-17, 0) @ matrix
    if grid == "permuted and flipped":
        labels, matrix = permuted(labels, matrix)
    volume = spine_volume(labels, matrix)
    node = TRANSFORMS[transform]()
    volume.SetAndObserveTransformNodeID(node.GetID() if node else None)
    segmentation = import_result(segment(volume, tmp_path), volume)
    assert segmentation.GetParentTransformNode() is node
    for structure in SCHEMA.structures:
        if structure.value in labels:
            found = segment_array(segmentation, structure.name, volume)
            assert (found == (labels == structure.value)).all(), structure.name
    # In the world, too: the middle of L3 is where the volume shows its grey value.
    ras = center(segmentation, "Segment_4")
    local = [0.0, 0.0, 0.0]
    volume.TransformPointFromWorld(ras, local)
    i, j, k = np.linalg.solve(matrix, [*local, 1])[:3].round().astype(int)
    assert labels[k, j, i] == 4


def test_segments_carry_names_colours_codes_values_and_confidences(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    assert names_of(segmentation)[:4] == ["L1", "L1/L2", "L2", "L2/L3"]
    assert segmentation.GetSegmentation().GetSegmentIDs()[-1] == "Segment_1"
    for structure in SCHEMA.structures:
        if structure.value in spine():
            own = named(segmentation, structure.name)
            assert own.GetColor() == pytest.approx([c / 255 for c in structure.color])
            assert code_of(own) == structure.code
            assert tag(own, "CPS4.Value") == str(structure.value)
            assert tag(own, "CPS4.Confidence") == f"{0.9 - 0.01 * structure.value:.4f}"
    entry = tag(named(segmentation, "L5/S"), "TerminologyEntry")
    assert entry is not None
    assert entry.split("~")[1:3] == [
        "SCT^123037004^Anatomical Structure",
        "SCT^715056000^Intervertebral Disc between Lumbar Vertebra 5 and Sacrum",
    ]


def test_a_scene_never_holds_the_paths_of_a_result(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    text = segmentation.GetAttribute("CPS4.Result")
    assert str(tmp_path) not in text and "/home/someone" not in text
    assert '"fingerprint": "ab12"' in text and schema_of(segmentation) == SCHEMA


def test_the_segmentation_joins_the_volume_s_study(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    study = tree.CreateStudyItem(patient, "study")
    item = tree.GetItemByDataNode(volume) or tree.CreateItem(study, volume)
    tree.SetItemParent(item, study)
    segmentation = import_result(segment(volume, tmp_path), volume)
    assert tree.GetItemParent(tree.GetItemByDataNode(segmentation)) == study
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is volume


def test_a_second_result_replaces_the_first_and_keeps_the_user_s_own_segments(
    tmp_path: Path,
) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    mine = segmentation.GetSegmentation().AddEmptySegment("Segment_1_mine", "tumour")
    lumbar = write_labels(np.where(spine() == 2, 2, 0).astype(np.uint8), tmp_path / "l5.nrrd")
    again = import_result(result_of(lumbar), volume, segmentation)
    assert again is segmentation and sorted(names_of(again)) == ["L5", "tumour"]
    assert again.GetSegmentation().GetSegment(mine) is not None
    assert (segment_array(again, "L5", volume) == (spine() == 2)).all()
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1


def test_a_result_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    before = names_of(segmentation)
    small = write_labels(spine()[:3].astype(np.uint8), tmp_path / "small.nrrd")
    with pytest.raises(CPS4Error, match="20 x 94 x 3 voxels, the volume 'Case 1' 20 x 94 x 7"):
        import_result(result_of(small), volume, segmentation)
    foreign = write_labels(np.full(spine().shape, 77, np.uint8), tmp_path / "foreign.nrrd")
    with pytest.raises(CPS4Error, match=r"values \[77\]"):
        import_result(result_of(foreign), volume, segmentation)
    with pytest.raises(CPS4Error, match="does not exist"):
        import_result(result_of(small) | {"label": str(tmp_path / "no.nrrd")}, volume)
    assert names_of(segmentation) == before
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1


def test_an_empty_result_is_an_empty_segmentation(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    nothing = write_labels(np.zeros(spine().shape, np.uint8), tmp_path / "nothing.nrrd")
    assert names_of(import_result(result_of(nothing), volume)) == []


def test_the_colour_table_is_made_once_and_serves_slicer_s_own_export(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    table = color_node(SCHEMA)
    assert table is color_node(SCHEMA) is segmentation.GetLabelmapConversionColorTableNode()
    assert table.GetColorName(2) == "L5" and "49668003" in table.GetTerminologyAsString(2)
    folder = tmp_path / "export"
    folder.mkdir()
    slicer.modules.segmentations.logic().ExportSegmentsBinaryLabelmapRepresentationToFiles(
        str(folder), segmentation, None, "nrrd", True, volume, 0, table
    )
    (file,) = folder.glob("*.nrrd")
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) == spine()).all()


def test_surfaces_come_and_go(tmp_path: Path) -> None:
    volume = spine_volume(spine())
    segmentation = import_result(segment(volume, tmp_path), volume)
    show_3d(segmentation, True)
    assert segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    assert segmentation.GetDisplayNode().GetVisibility3D()
    show_3d(segmentation, False)
    assert not segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
