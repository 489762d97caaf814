"""Which volumes a user means by the files and folders given, and what each is called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.dicom import is_dicom_folder
from CPS4Core.volumes.image_file import EXTENSIONS, volume_extension


def is_volume_file(path: str | PathLike[str]) -> bool:
    """Whether `path` is a file whose name ends like a volume's (hidden files never count)."""
    path = Path(path)
    return not path.name.startswith(".") and volume_extension(path) is not None and path.is_file()


def case_id_of(path: str | PathLike[str]) -> str:
    """The name of the file without extension and nnU-Net's channel `_0000`, or of the folder."""
    path = Path(path).resolve() if Path(path).name in ("", "..") else Path(path)
    extension = None if path.is_dir() else volume_extension(path)
    return re.sub(r"_0000$", "", path.name[: -len(extension)] if extension else path.name)


def find_inputs(paths: Sequence[str | PathLike[str]]) -> list[tuple[str, Path]]:
    """(case id, path) of every volume in the files, DICOM folders and folders of either given.

    Of a folder the volume files in it count, and every folder in it, however deep, that holds DICOM
    files: a series. A series is called by the folders that lead to it, `PATIENT_STUDY_SERIES`, so
    that series of the same name stay apart. Within a folder they are sorted by name; a volume that
    is given twice counts once. Raises CPS4Error where there is nothing, where a path is missing, or
    two volumes have one name.
    """
    found: dict[str, Path] = {}
    for case_id, path in (volume for given in paths for volume in _expand(Path(given))):
        other = found.setdefault(case_id, path)
        if other.resolve() != path.resolve():
            raise CPS4Error(
                f"Two inputs have the case name '{case_id}', one of them {other}",
                path=path,
                cure="Rename one, or run the command for each of them with its own output folder",
            )
    if not found:
        raise CPS4Error("No input volume was given")
    return list(found.items())


def _expand(path: Path) -> Iterable[tuple[str, Path]]:
    """The volumes behind one path."""
    if not path.exists():
        raise CPS4Error("The input does not exist", path=path, cure="Check the path")
    if not path.is_dir():
        # A file of an unknown kind is kept: reading it says what is wrong, the others still run.
        return [(case_id_of(path), path)]
    try:
        inside = list(path.iterdir())
    except OSError as error:
        raise CPS4Error(f"The folder cannot be read ({error.strerror})", path=path) from error
    # Segmentations are results that lie beside the images, not images.
    files = (p for p in inside if not p.name.lower().endswith(".seg.nrrd"))
    volumes = [(case_id_of(file), file) for file in files if is_volume_file(file)]
    volumes += [(_series_name(path, folder), folder) for folder in _dicom_folders(path)]
    if not volumes:
        raise CPS4Error(
            "The folder holds no volume",
            path=path,
            cure=f"Known are {', '.join(EXTENSIONS)} and folders of DICOM files",
        )
    return sorted(volumes, key=lambda volume: volume[1])


def _dicom_folders(root: Path) -> Iterator[Path]:
    """Every folder from `root` down that itself holds DICOM files; hidden ones are left out."""
    seen = set()
    for place, folders, _ in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        # A link may lead back up, or to what was seen on another way.
        folders[:] = [] if real in seen else [f for f in folders if not f.startswith(".")]
        if real not in seen and is_dicom_folder(Path(place)):
            yield Path(place)
        seen.add(real)


def _series_name(root: Path, folder: Path) -> str:
    return "_".join(folder.relative_to(root).parts) or case_id_of(root)
