"""Volumes leave the scene voxel for voxel, with the patient's up, or are refused with a cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from CPS4SegmentLib.geometry import RAS_TO_LPS
from CPS4SegmentLib.volume_export import export_volume, volume_problem
from scene_samples import add_transform, add_volume, bent_transform, permuted, sagittal, spine, turn

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.sagittal import to_sagittal


def file_matrix(image: sitk.Image) -> np.ndarray:
    """Voxel indices to RAS of a file."""
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    points = np.array([image.TransformIndexToPhysicalPoint(c) for c in corners])
    matrix = np.eye(4)
    matrix[:3, :3] = (points[1:] - points[0]).T
    matrix[:3, 3] = points[0]
    return RAS_TO_LPS @ matrix


def test_an_oblique_volume_keeps_its_voxels_and_its_place(tmp_path: Path) -> None:
    array, matrix = permuted(spine().astype(np.int16), turn(20, 0) @ turn(-15, 2) @ sagittal())
    export_volume(add_volume(array, matrix), tmp_path / "v.nrrd")
    image = sitk.ReadImage(str(tmp_path / "v.nrrd"))
    assert (sitk.GetArrayFromImage(image) == array).all()
    assert image.GetPixelIDTypeAsString() == "16-bit signed integer"
    np.testing.assert_allclose(file_matrix(image), matrix, atol=1e-4)


def test_a_linear_transform_goes_into_the_file_and_leaves_the_scene_alone(tmp_path: Path) -> None:
    volume = add_volume(spine(), sagittal())
    inner, outer = add_transform(turn(30, 0)), add_transform(np.diag([1.5, 1.5, 1.5, 1.0]))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    volume.SetAndObserveTransformNodeID(inner.GetID())
    export_volume(volume, tmp_path / "v.nrrd")
    written = file_matrix(sitk.ReadImage(str(tmp_path / "v.nrrd")))
    wanted = np.diag([1.5, 1.5, 1.5, 1.0]) @ turn(30, 0) @ sagittal()
    np.testing.assert_allclose(written, wanted, atol=1e-4)
    assert volume.GetParentTransformNode() is inner
    assert volume.GetSpacing() == pytest.approx((2, 1, 3))


def test_a_volume_stood_on_its_head_by_a_transform_is_read_the_right_way_up(tmp_path: Path) -> None:
    labels = spine()
    volume = add_volume(labels[:, ::-1].copy(), sagittal())  # the head at the bottom
    volume.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 1.0, -1.0, 1.0])).GetID())
    export_volume(volume, tmp_path / "v.nrrd")
    stack = to_sagittal(sitk.ReadImage(str(tmp_path / "v.nrrd")))
    assert (stack.array == labels[::-1]).all()  # slices of a stack run from right to left


@pytest.mark.parametrize("kind", ["shear", "flat", "bent"])
def test_a_transform_that_no_file_can_hold_is_left_out(kind: str, tmp_path: Path) -> None:
    volume = add_volume(spine(), sagittal())
    matrix = np.eye(4)
    matrix[1] = [0, 1, 0.4, 0] if kind == "shear" else 0
    node = bent_transform() if kind == "bent" else add_transform(matrix)
    volume.SetAndObserveTransformNodeID(node.GetID())
    export_volume(volume, tmp_path / "v.nrrd")
    image = sitk.ReadImage(str(tmp_path / "v.nrrd"))
    np.testing.assert_allclose(file_matrix(image), sagittal(), atol=1e-4)


def test_what_cannot_be_segmented_is_refused_with_cause_and_cure(tmp_path: Path) -> None:
    scene, grey = slicer.mrmlScene, spine()
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    color = slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode", name="photo"
    )
    labels = slicer.util.addVolumeFromArray(grey, nodeClassName="vtkMRMLLabelMapVolumeNode")
    slab = add_volume(grey[:1], sagittal(), "scout")
    shear = sagittal()
    shear[0, 1] = 0.7
    sheared = add_volume(grey, shear, "tilted")
    for node, cause in (
        (None, "No volume is chosen"),
        (empty, "'nothing' is empty"),
        (color, "'photo' has 3 values per voxel"),
        (labels, "is a label map"),
        (slab, "'scout' is a single slice"),
        (sheared, "not at right angles"),
    ):
        problem = volume_problem(node)
        assert problem is not None and cause in problem and len(problem.split(". ")) == 2, problem
        with pytest.raises(CPS4Error, match="."):
            export_volume(node, tmp_path / "v.nrrd")
    assert not list(tmp_path.iterdir())
    assert volume_problem(add_volume(grey, sagittal())) is None


def test_a_frame_of_a_sequence_is_refused() -> None:
    volume = add_volume(spine(), sagittal(), "perfusion")
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    sequence.SetDataNodeAtValue(volume, "0")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(volume, sequence, False)
    assert "sequence" in str(volume_problem(volume))
