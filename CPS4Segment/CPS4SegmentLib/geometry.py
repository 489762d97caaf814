"""Voxel indices, the node's own coordinates and the patient's, as 4x4 matrices.

"Local" are a node's coordinates (RAS, mm) without its parent transform, "world" those with it. The
"patient frame" is world where the parent transform keeps voxels rectangular, else local: a label
map file can hold no shear and no bending.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

SHEAR = 1e-3
"""Cosine between two axes from which they are not at right angles."""


def to_numpy(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as [4, 4] float64."""
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def to_vtk(matrix: np.ndarray) -> Any:
    """[4, 4] as a vtkMatrix4x4."""
    copy = vtk.vtkMatrix4x4()
    copy.DeepCopy(np.asarray(matrix, float).ravel().tolist())
    return copy


def is_sheared(ijk_to_ras: np.ndarray) -> bool:
    """Whether the voxel axes are not at right angles, or one has no length at all."""
    lengths = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    if not lengths.all():
        return True
    axes = ijk_to_ras[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR)


def volume_matrix(volume: Any) -> np.ndarray:
    """Voxel indices (i, j, k) to local coordinates of a volume node."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return to_numpy(matrix)


def local_to_world(node: Any) -> np.ndarray | None:
    """The node's parent transforms as one matrix; None where they bend space."""
    matrix = vtk.vtkMatrix4x4()
    linear = slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        node.GetParentTransformNode(), None, matrix
    )
    return to_numpy(matrix) if linear else None


def local_to_patient(node: Any, ijk_to_local: np.ndarray) -> np.ndarray:
    """Local coordinates to the patient frame of a grid that the node holds."""
    matrix = local_to_world(node)
    if matrix is None or is_sheared(matrix @ ijk_to_local):
        return np.eye(4)
    return matrix


def patient_matrix(volume: Any) -> np.ndarray:
    """Voxel indices to the patient frame of a volume node: the geometry of its exported file."""
    own = volume_matrix(volume)
    return local_to_patient(volume, own) @ own


def to_patient_frame(volume: Any, ras: tuple[float, float, float]) -> np.ndarray:
    """A world position in the volume's patient frame [3], RAS mm."""
    local = point_to_local(volume, ras)
    return (local_to_patient(volume, volume_matrix(volume)) @ [*local, 1])[:3]


def point_to_local(node: Any, ras: tuple[float, float, float]) -> np.ndarray:
    """A world position in the node's own coordinates [3], bent transforms included."""
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld(list(ras), local)
    return np.array(local)


def sitk_geometry(image: Any, ijk_to_ras: np.ndarray) -> None:
    """Give a SimpleITK image the geometry of `ijk_to_ras`, whose axes are at right angles."""
    lps = RAS_TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
