"""Which volumes a user means by the files and folders given, and what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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

    Within a folder they are sorted by name; a volume that is given twice counts once. Raises
    CPS4Error where there is nothing, where a path is missing, or two volumes have one name.
    """
    found: dict[str, Path] = {}
    for path in (volume for given in paths for volume in _expand(Path(given))):
        case_id = case_id_of(path)
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


def _expand(path: Path) -> Iterable[Path]:
    """The volumes behind one path."""
    if not path.exists():
        raise CPS4Error("The input does not exist", path=path, cure="Check the path")
    if not path.is_dir() or is_dicom_folder(path):
        # A file of an unknown kind is kept: reading it says what is wrong, the others still run.
        return [path]
    # Segmentations are results that lie beside the images, not images.
    files = sorted(p for p in path.iterdir() if not p.name.lower().endswith(".seg.nrrd"))
    volumes = [p for p in files if is_volume_file(p) or is_dicom_folder(p)]
    if not volumes:
        raise CPS4Error(
            "The folder holds no volume",
            path=path,
            cure=f"Known are {', '.join(EXTENSIONS)} and folders of DICOM files",
        )
    return volumes
