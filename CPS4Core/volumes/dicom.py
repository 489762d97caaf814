"""Read the volume in a folder of DICOM files."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error

_SERIES, _DESCRIPTION, _POSITION, _ORIENTATION = "0020|000e", "0008|103e", "0020|0032", "0020|0037"
_UNEVENNESS = 0.1  # of the slice spacing; headers round positions, a lost slice is a whole step


class VolumeWarning(UserWarning):
    """The volume was read, but the user should know how."""


@dataclass(frozen=True)
class _Slice:
    """One DICOM file's header; `place` is its position along the slice normal in mm."""

    path: Path
    stack: tuple[object, ...]
    description: str
    frames: int
    place: float


def is_dicom_folder(path: Path) -> bool:
    """Whether a folder itself (not its subfolders) holds a DICOM image file; not if unreadable."""
    try:
        return path.is_dir() and any(_is_dicom(file) for file in sorted(path.iterdir()))
    except OSError:
        return False


def read_dicom_folder(folder: Path) -> sitk.Image:
    """The volume of a DICOM series folder, slices in order of their position.

    Of several series, or orientations within one, the one with most slices is taken, and a
    VolumeWarning says so. Raises CPS4Error where there is no image, where a file is damaged, and
    where slices are missing or lie twice at one place.
    """
    stacks: dict[tuple[object, ...], list[_Slice]] = defaultdict(list)
    unreadable = []
    for file in sorted(folder.iterdir()):
        if _is_dicom(file):
            header = _read_header(file)
            if header is None:
                unreadable.append(file)
            else:
                stacks[header.stack].append(header)
    if not stacks:
        raise CPS4Error(
            "No readable DICOM image is in this folder",
            path=folder,
            cure="Give the folder that holds the series' files themselves",
        )
    if unreadable:
        warnings.warn(
            f"{folder.name}: {len(unreadable)} DICOM files without a readable image were left out",
            VolumeWarning,
            stacklevel=3,
        )
    chosen = max(stacks.values(), key=lambda slices: sum(s.frames for s in slices))
    if len(stacks) > 1:
        warnings.warn(
            f"{folder.name} holds {len(stacks)} image stacks; took the largest, "
            f"'{chosen[0].description or 'without a description'}' "
            f"with {sum(s.frames for s in chosen)} slices",
            VolumeWarning,
            stacklevel=3,
        )
    chosen.sort(key=lambda s: s.place)
    try:
        if len(chosen) == 1:
            return sitk.ReadImage(str(chosen[0].path))
        _check_places(chosen, folder)
        return sitk.ReadImage([str(s.path) for s in chosen])
    except RuntimeError as error:
        raise CPS4Error(
            "The DICOM series cannot be read", path=folder, cure="Export or copy it once more"
        ) from error


def _is_dicom(path: Path) -> bool:
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _read_header(path: Path) -> _Slice | None:
    """The header of one file; None where there is no image in it."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    tags = set(reader.GetMetaDataKeys())

    def text(tag: str) -> str:
        return str(reader.GetMetaData(tag)).strip("\0 ") if tag in tags else ""

    size = reader.GetSize()
    frames = size[2] if len(size) > 2 else 1
    try:
        orientation = np.array([float(v) for v in text(_ORIENTATION).split("\\")]).reshape(2, 3)
        position = np.array([float(v) for v in text(_POSITION).split("\\")]).reshape(3)
        normal = np.cross(orientation[0], orientation[1])
        place = float(position @ normal)
        facing: tuple[float, ...] = tuple(np.round(orientation, 2).ravel().tolist())
    except ValueError:  # no position: only a multi-frame file is a volume by itself
        place, facing = 0.0, ()
    # A multi-frame file is a stack of its own.
    own = path.name if frames > 1 else ""
    stack = (text(_SERIES), size[:2], facing, own)
    return _Slice(path, stack, text(_DESCRIPTION), frames, place)


def _check_places(slices: list[_Slice], folder: Path) -> None:
    """Raise CPS4Error unless the slices lie one after the other at even distances."""
    steps = np.diff([s.place for s in slices])
    step = float(np.median(steps))
    uneven = np.abs(steps - step) > _UNEVENNESS * max(step, 1e-3)
    if step > 1e-3 and not uneven.any():
        return
    if steps.min() <= 1e-3:
        cause = "Several slices of the DICOM series lie at one place (echoes, time points?)"
    else:
        distances = f"{steps.min():.3g} to {steps.max():.3g} mm"
        cause = f"The DICOM series has gaps: its slices are {distances} apart"
    raise CPS4Error(
        cause, path=folder, cure="Export one complete volume, for example as NIfTI, and use that"
    )
