"""A volume of the scene as a file for the worker."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import SimpleITK as sitk
from vtk.util.numpy_support import vtk_to_numpy

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.writing import write_volume
from CPS4SegmentLib.geometry import is_sheared, patient_matrix, sitk_geometry, volume_matrix

PROMPT_MAP = "CPS4.PromptMap"
"""Attribute of a volume node that shows a prompt map: its class name."""


def volume_problem(node: Any) -> str | None:
    """Why a node cannot be segmented, and what to do about it; None if it can."""
    try:
        _check(node)
    except CPS4Error as error:
        return str(error)
    return None


def export_volume(node: Any, path: str | PathLike[str]) -> None:
    """Write a volume node to `path` (.nrrd), voxel for voxel, in its patient frame.

    A linear parent transform goes into the file's geometry, so that up is the patient's up; one
    that shears or bends is left out. The scene stays as it is. Raises CPS4Error for what
    `volume_problem` refuses and where the file cannot be written.
    """
    _check(node)
    image = sitk.GetImageFromArray(voxels(node))
    sitk_geometry(image, patient_matrix(node))
    write_volume(image, path)


def voxels(volume: Any) -> np.ndarray:
    """The voxels of a scalar volume node [k, j, i], a view into the scene."""
    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _check(node: Any) -> None:
    if node is None:
        raise CPS4Error("No volume is chosen", cure="Load a spine MRI and choose it here")
    name = f"'{node.GetName()}'"
    if node.IsA("vtkMRMLMultiVolumeNode") or _is_frame_of_sequence(node):
        raise CPS4Error(
            f"{name} is a sequence of volumes",
            cure="Choose a single 3D volume; in the Data module, clone the frame that you need",
        )
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise CPS4Error(f"{name} is a label map, not an image", cure="Choose the MRI itself")
    if node.GetAttribute(PROMPT_MAP):
        raise CPS4Error(f"{name} is a prompt map", cure="Choose the MRI that it was made from")
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    if image is None or not image.GetNumberOfPoints() or not image.GetPointData().GetScalars():
        raise CPS4Error(f"{name} is empty", cure="Load the volume again, or choose another one")
    components = image.GetNumberOfScalarComponents()
    if components > 1:
        raise CPS4Error(
            f"{name} has {components} values per voxel (colour or vectors), not one",
            cure="Choose a grey volume, or make one with the module Vector to Scalar Volume",
        )
    size = image.GetDimensions()
    if min(size) < 2:
        raise CPS4Error(
            f"{name} is a single slice ({size[0]} x {size[1]} x {size[2]} voxels)",
            cure="Load the whole series; a stack of sagittal slices is needed",
        )
    if is_sheared(volume_matrix(node)):
        raise CPS4Error(
            f"The axes of {name} are not at right angles (the volume is sheared)",
            cure="Resample it, for example with the module Crop Volume",
        )


def _is_frame_of_sequence(node: Any) -> bool:
    scene = node.GetScene()
    browsers = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode") if scene else None
    if browsers is None:
        return False
    browsers.UnRegister(None)
    return any(
        browsers.GetItemAsObject(i).IsProxyNodeID(node.GetID())
        for i in range(browsers.GetNumberOfItems())
    )
