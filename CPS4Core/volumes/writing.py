"""Write volumes and named label maps, complete or not at all."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from os import PathLike
from pathlib import Path

import SimpleITK as sitk

from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path
from CPS4Core.schema import LabelSchema
from CPS4Core.volumes.segmentation import (
    SEGMENTATION_EXTENSION,
    describe_segments,
    is_segmentation_file,
    read_segmentation,
    segments_of,
)

__all__ = ["WRITABLE", "read_segmentation", "write_segmentation", "write_volume"]

WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Extensions that write_volume knows."""


def write_volume(image: sitk.Image, path: str | PathLike[str]) -> None:
    """Write a volume in the format that the name's extension says, packed where it can be.

    Raises CPS4Error for another extension and where the file cannot be written whole.
    """
    path = Path(path)
    if not path.name.lower().endswith(WRITABLE):
        raise CPS4Error(
            "Cannot write this format", path=path, cure="Use one of " + ", ".join(WRITABLE)
        )
    name = path.name.lower()
    with atomic_path(path) as temporary:
        try:
            if name.endswith(".nii.gz"):
                _write_packed_nifti(image, temporary)
            elif name.endswith(".nii"):
                _write_nifti(image, temporary)
            else:
                # Level 1 is the fastest; higher ones save little on images.
                sitk.WriteImage(image, str(temporary), True, 1)
        except RuntimeError as error:
            raise CPS4Error(
                "The volume could not be written",
                path=path,
                cure="Check that the disk has space left and that the folder can be written",
            ) from error


def _write_nifti(image: sitk.Image, path: Path) -> None:
    """Write NIfTI, unpacked; raise RuntimeError where bytes are missing.

    On a full disk the NIfTI writer succeeds and leaves a part of the file.
    """
    sitk.WriteImage(image, str(path), False)
    voxel_bytes = image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel()
    if path.stat().st_size < image.GetNumberOfPixels() * voxel_bytes:
        raise RuntimeError("the file is shorter than its voxels")


def _write_packed_nifti(image: sitk.Image, path: Path) -> None:
    """Write NIfTI and pack it here: at level 1, which the NIfTI writer ignores, errors noticed."""
    with tempfile.TemporaryDirectory(prefix="cps4-", ignore_cleanup_errors=True) as folder:
        unpacked = Path(folder) / "volume.nii"
        _write_nifti(image, unpacked)
        # Neither name nor time go in, so that the same volume gives the same bytes.
        with (
            open(unpacked, "rb") as source,
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)


def write_segmentation(image: sitk.Image, path: str | PathLike[str], schema: LabelSchema) -> None:
    """Write a label map in the schema's values as .seg.nrrd, which Slicer opens as a segmentation.

    Names, colours and SNOMED CT codes come from the schema; only structures that occur become
    segments. Raises CPS4Error for values foreign to the schema.
    """
    path = Path(path)
    if not is_segmentation_file(path):
        raise CPS4Error("A segmentation's name ends in " + SEGMENTATION_EXTENSION, path=path)
    described = sitk.Image(image)  # copied on write: the caller's metadata stay as they are
    for key in described.GetMetaDataKeys():
        described.EraseMetaData(key)
    describe_segments(described, segments_of(schema))
    write_volume(described, path)
