"""Read one image file as it is; a damaged file is an error here, never a half-empty volume."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error

EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Known volume files, those that end in another one first."""

_GZIP_MAGIC = b"\x1f\x8b"


def volume_extension(path: Path) -> str | None:
    """The extension of a known volume format that `path` ends with, else None."""
    name = path.name.lower()
    return next((extension for extension in EXTENSIONS if name.endswith(extension)), None)


def read_image_file(path: Path) -> sitk.Image:
    """The image in a file, of any dimension and voxel type.

    Raises CPS4Error for a missing, empty, damaged or cut off file and for an unknown format.
    """
    if not path.exists():
        raise CPS4Error("The volume does not exist", path=path, cure="Check the path")
    if path.suffix.lower() in (".dcm", ".ima"):
        raise CPS4Error(
            "A single DICOM file is not a volume", path=path, cure="Give the folder of its series"
        )
    extension = volume_extension(path)
    if extension is None:
        raise CPS4Error(
            "Not a known volume format",
            path=path,
            cure=f"Known are {', '.join(EXTENSIONS)} and folders of DICOM files",
        )
    try:
        if path.stat().st_size == 0:
            raise CPS4Error("The file is empty", path=path, cure="Restore it from a copy")
        if _is_text(path):
            raise CPS4Error(
                "This is a text file, not a volume",
                path=path,
                cure="Fetch the real file: this may be a web page or a pointer left by git",
            )
        return _read_nifti(path) if extension.startswith(".nii") else sitk.ReadImage(str(path))
    except OSError as error:
        raise CPS4Error(f"Cannot read ({error.strerror or error})", path=path) from error
    except RuntimeError as error:
        if "Unable to determine ImageIO" in str(error):
            raise CPS4Error(
                f"This is not a {extension} file, whatever its name says",
                path=path,
                cure="Convert or fetch it again",
            ) from error
        if "orthonormal" in str(error):
            raise CPS4Error(
                "The header's axes are not at right angles (the volume is sheared)",
                path=path,
                cure="Resample it to a regular grid, or correct its header",
            ) from error
        raise _damaged(path) from error


def check_finite(values: np.ndarray, path: Path) -> None:
    """Raise CPS4Error where some of a float volume's `values` are NaN or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        raise CPS4Error(
            f"{finite.size - np.count_nonzero(finite)} voxels are not finite (NaN or infinite)",
            path=path,
            cure="Replace them, for example by 0",
        )


def _is_text(path: Path) -> bool:
    """Whether a file is text only; NRRD and MetaImage begin with text, but with their own."""
    with open(path, "rb") as file:
        head = file.read(512)
    ours = head.startswith(b"NRRD") or b"NDims" in head or b"ObjectType" in head
    return head.isascii() and b"\0" not in head and not ours


def _read_nifti(path: Path) -> sitk.Image:
    """Read NIfTI from an unpacked file of which every byte is known to be there.

    Unpacking it here costs no extra time, and avoids two silent faults of the NIfTI reader: it
    fills with zeros what was cut off, and beside z.nii it takes z.nii's voxels for z.nii.gz.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    if not packed and path.suffix.lower() == ".nii":
        return _read_unpacked_nifti(path, path)
    with tempfile.TemporaryDirectory(prefix="cps4-", ignore_cleanup_errors=True) as folder:
        unpacked = Path(folder) / "volume.nii"
        try:
            with open(path, "rb") as file, open(unpacked, "wb") as target:
                source = gzip.GzipFile(fileobj=file) if packed else file
                shutil.copyfileobj(source, target, 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(path) from error
        return _read_unpacked_nifti(unpacked, path)


def _read_unpacked_nifti(unpacked: Path, path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(unpacked))
    reader.ReadImageInformation()
    header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    sizes = [int(header[f"dim[{axis}]"]) for axis in range(1, int(header["dim[0]"]) + 1)]
    needed = float(header["vox_offset"]) + math.prod(sizes) * int(header["bitpix"]) / 8
    if unpacked.stat().st_size < needed:
        raise _damaged(path)
    kind = {16: "f4", 64: "f8"}.get(int(header["datatype"]))
    if kind:
        # The NIfTI reader turns NaN into 0 without a word, so look at the bytes themselves.
        with open(unpacked, "rb") as file:  # the header's own size, 348 or 540, leads the file
            order = "<" if int.from_bytes(file.read(4), "little") in (348, 540) else ">"
        offset = int(float(header["vox_offset"]))
        check_finite(np.memmap(unpacked, order + kind, "r", offset, math.prod(sizes)), path)
    return reader.Execute()


def _damaged(path: Path) -> CPS4Error:
    return CPS4Error(
        "The file is cut off or damaged", path=path, cure="Copy or download it once more"
    )
