"""Bring a data set into a study: in its own geometry, verified, resumable, overwriting nothing."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path, make_folder, read_json, write_json
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema, schema_from_dataset_json
from CPS4Core.study.folder import (
    DATASET,
    SOURCES,
    case_fingerprint,
    read_dataset_json,
    write_dataset_json,
)
from CPS4Core.study.importers import Collection, Source
from CPS4Core.study.problem import ERROR, WARNING, Problem

if TYPE_CHECKING:
    import SimpleITK as sitk

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


@dataclass
class ImportResult:
    """Ids of the cases that came in now, that were there before, and what went wrong."""

    imported: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def import_study(
    collection: Collection,
    output: Path,
    schema: LabelSchema,
    progress: Progress | None = None,
    file_ending: str = ".nii.gz",
) -> ImportResult:
    """Write a collection's cases to the study folder `output`, new or begun.

    Masks are converted by structure name to the study's schema: `schema`, or that of a study which
    exists already. A bad case becomes a problem and the rest goes on; CPS4Error only where nothing
    can be written. dataset.json and sources.json follow what has been finished.
    """
    progress = progress or Progress()
    make_folder(output)
    if (output / DATASET).is_file():
        content = read_dataset_json(output)
        schema = schema_from_dataset_json(content, output / DATASET)
        file_ending = content.get("file_ending") or file_ending
    for name in ("imagesTr", "labelsTr"):
        make_folder(output / name)
    lost = _check_schemas(collection.schema, schema, output / DATASET)
    result = ImportResult(problems=[*collection.problems, *lost])
    record: dict[str, Any] = (
        read_json(output / SOURCES, SOURCES) if (output / SOURCES).is_file() else {}
    )
    target = _Target(output, schema, file_ending, collection)
    if not (output / DATASET).is_file():
        # At once, so that an interrupted import is a study that says how far it came.
        write_dataset_json(output, schema, channel=collection.channel, file_ending=file_ending)
    try:
        for source in progress.track(collection.sources, "Importing cases"):
            try:
                done, problems = target.store(source, record)
            except CPS4Error as error:
                cause = error.__cause__
                if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
                    raise
                problems, done = [Problem.from_error(error, source.id, source.image)], None
            result.problems += problems
            if done is not None:
                (result.imported if done else result.present).append(source.id)
    finally:
        write_dataset_json(output, schema, channel=collection.channel, file_ending=file_ending)
    return result


class _Target:
    """The study being written."""

    def __init__(
        self, folder: Path, schema: LabelSchema, ending: str, collection: Collection
    ) -> None:
        self._folder, self._schema, self._ending = folder, schema, ending
        self._collection = collection

    def store(self, source: Source, record: dict[str, Any]) -> tuple[bool | None, list[Problem]]:
        """Bring in one case; (True if something was written, problems), None for a refused case."""
        image_path = self._folder / "imagesTr" / f"{source.id}_0000{self._ending}"
        label_path = self._folder / "labelsTr" / f"{source.id}{self._ending}"
        known = record.get(source.id, {})
        hashes = {"image": _fingerprint(source.image)}
        if source.label is not None:
            hashes["label"] = _fingerprint(source.label)
        there = image_path.exists()
        if there and known.get("image", hashes["image"]) != hashes["image"]:
            return None, [_clash(source, source.image)]
        label_there = source.label is None or label_path.exists()
        if there and label_there and "image" in known:
            kept = source.label is not None and known.get("label") != hashes["label"]
            return False, [_kept(source)] if kept else []
        image, label = self._read(source)
        if there:
            # Written by a run that was stopped before it could record it, or by somebody else.
            if not _same(image, _read_image(image_path)):
                return None, [_clash(source, source.image)]
        else:
            self._write(image, image_path, source.image)
        problems = []
        if label is not None and not label_path.exists():
            self._write(label, label_path, None)
        elif label is not None and not _same(label, _read_labels(label_path, image)):
            problems.append(_kept(source))
            hashes.pop("label")
        if source.patient:
            hashes["patient"] = source.patient
        record[source.id] = {**known, **hashes}
        write_json(self._folder / SOURCES, dict(sorted(record.items())))
        return not (there and label_there), problems

    def _read(self, source: Source) -> tuple[sitk.Image, sitk.Image | None]:
        """Image and label in the study's values; raises CPS4Error for a case that is no good."""
        image = _read_image(source.image)
        if source.label is None:
            return image, None
        return image, self._converted(_read_labels(source.label, image), source.label)

    def _converted(self, label: sitk.Image, path: Path) -> sitk.Image:
        import SimpleITK as sitk

        values = sitk.GetArrayFromImage(label).astype(np.int64)
        for old, new in self._collection.folded.items():
            values[values == old] = new
        foreign = self._collection.schema.foreign_values(values)
        if foreign:
            raise CPS4Error(
                f"Label values {', '.join(map(str, foreign))} are not in schema "
                f"'{self._collection.schema.name}'",
                path=path,
                cure="Correct the mask, or give the schema it was made with (--schema)",
            )
        values = self._collection.schema.remap(values, self._schema)
        smallest = np.uint8 if values.max(initial=0) < 256 else np.uint16
        converted = sitk.GetImageFromArray(values.astype(smallest))
        converted.CopyInformation(label)
        return converted

    def _write(self, image: sitk.Image, path: Path, source: Path | None) -> None:
        """Write and read back; a file of the same format is copied as it is."""
        if source is not None and source.is_file() and source.name.endswith(self._ending):
            with atomic_path(path) as temporary:
                shutil.copyfile(source, temporary)
        else:
            from CPS4Core.volumes.writing import write_volume

            write_volume(image, path)
        if not _same(image, _read_image(path)):
            path.unlink()
            raise CPS4Error(
                f"The volume does not survive being written as {self._ending}",
                path=source or path,
                cure="Import with another --file-ending, for example .nrrd",
            )


def _check_schemas(source: LabelSchema, target: LabelSchema, path: Path) -> list[Problem]:
    """Warn of structures that would silently become background."""
    names = {s.name for s in target.structures}
    lost = [s.name for s in source.structures if s.kind != "other" and s.name not in names]
    if not names & {s.name for s in source.structures}:
        raise CPS4Error(
            f"Schema '{source.name}' of the masks and '{target.name}' of the study share no name",
            path=path,
            cure="Choose --schema so that structures have the same names, or another study",
        )
    if not lost or target.ignore_value is not None:
        return []
    return [
        Problem(
            WARNING,
            None,
            path,
            f"The study's schema lacks {', '.join(lost)}: they become background",
            "Give the study an ignore label before importing, if these structures are in view",
        )
    ]


def _read_image(path: Path) -> sitk.Image:
    from CPS4Core.volumes.reading import read_volume

    return read_volume(path)


def _read_labels(path: Path, like: sitk.Image) -> sitk.Image:
    from CPS4Core.volumes.reading import read_label_map

    return read_label_map(path, like)


def _same(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two volumes have the same voxels on the same grid."""
    from CPS4Core.volumes.geometry import volume_difference

    return volume_difference(second, first) is None


def _fingerprint(path: Path) -> str:
    """Hash of a file, or of all files of a DICOM folder."""
    if path.is_file():
        return case_fingerprint(path)
    import hashlib

    files = sorted(f for f in path.rglob("*") if f.is_file())
    return hashlib.sha256("".join(map(case_fingerprint, files)).encode()).hexdigest()[:16]


def _clash(source: Source, path: Path) -> Problem:
    return Problem(
        ERROR,
        source.id,
        path,
        "The study holds another image under the same case id; it was kept",
        "Rename the new file, or import into another study",
    )


def _kept(source: Source) -> Problem:
    return Problem(
        WARNING,
        source.id,
        source.label or source.image,
        "The study's label differs from this mask (corrected, perhaps); it was kept",
        "To take this mask instead, move the study's label away and import again",
    )
