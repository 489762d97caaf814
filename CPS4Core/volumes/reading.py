"""Read volumes and label maps, and refuse with a clear error what is not one."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.dicom import is_dicom_folder, read_dicom_folder
from CPS4Core.volumes.geometry import check_same_geometry
from CPS4Core.volumes.image_file import check_finite, read_image_file
from CPS4Core.volumes.inputs import case_id_of, find_inputs, is_volume_file
from CPS4Core.volumes.segmentation import is_segmentation_file, read_segmentation

__all__ = [
    "case_id_of",
    "find_inputs",
    "is_dicom_folder",
    "is_volume_file",
    "read_label_map",
    "read_volume",
]


def read_volume(path: str | PathLike[str]) -> sitk.Image:
    """The 3D scalar volume in a NIfTI, NRRD or MetaImage file or a DICOM series folder.

    A 4D volume of one frame becomes 3D. Of several DICOM series the largest is taken, with a
    VolumeWarning. Raises CPS4Error for a missing or damaged file, for 2D, 4D, colour or complex
    data, and for values that are not finite.
    """
    path = Path(path)
    image = read_dicom_folder(path) if path.is_dir() else read_image_file(path)
    return _as_scalar_volume(image, path)


def read_label_map(path: str | PathLike[str], like: sitk.Image | None = None) -> sitk.Image:
    """The label map in a file, integer typed; with `like`, checked to lie on that volume's grid.

    A map on the grid within tolerance gets the exact geometry of `like`; a cropped .seg.nrrd is
    padded to it. Raises CPS4Error for fractional values, for overlapping segments, and for another
    geometry, saying what differs.
    """
    path = Path(path)
    if is_segmentation_file(path):
        labels = read_segmentation(path, like=like)[0]
    else:
        labels = _as_integers(read_volume(path), path)
    if like is not None:
        check_same_geometry(labels, like, path)
        labels.CopyInformation(like)
    return labels


def _as_scalar_volume(image: sitk.Image, path: Path) -> sitk.Image:
    """`image` in 3D with one finite real value per voxel; raises CPS4Error otherwise."""
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimension < 3:
        raise CPS4Error(
            "This is a 2D picture, not a volume",
            path=path,
            cure="Give the whole stack of slices as one 3D file",
        )
    if dimension > 3:
        raise CPS4Error(
            f"This is a {dimension}D series with {image.GetSize()[-1]} frames",
            path=path,
            cure="Split it into 3D volumes and give one of them",
        )
    kind = image.GetPixelIDTypeAsString()
    if "complex" in kind:
        raise CPS4Error(
            "The voxels are complex numbers", path=path, cure="Give the magnitude image"
        )
    if components > 1:
        raise CPS4Error(
            f"Each voxel has {components} values (colour, vectors or overlapping segments)",
            path=path,
            cure="Save it as a grey volume with one value per voxel",
        )
    if "vector" in kind:
        image = sitk.VectorIndexSelectionCast(image, 0)
    # Header fields may name the patient, and other formats' writers stumble over them.
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    if "float" in kind:
        check_finite(sitk.GetArrayViewFromImage(image), path)
    return image


def _as_integers(image: sitk.Image, path: Path) -> sitk.Image:
    if "float" not in image.GetPixelIDTypeAsString():
        return image
    values = sitk.GetArrayViewFromImage(image)
    fractional = values != np.rint(values)
    if fractional.any():
        raise CPS4Error(
            f"The label map has fractional values, such as {values[fractional][0]:g}",
            path=path,
            cure="Use a label map, resampled with nearest neighbours if at all",
        )
    return sitk.Cast(image, sitk.sitkInt32)
