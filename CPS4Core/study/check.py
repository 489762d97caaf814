"""Find what would spoil a training: every problem of a study with its file and its cure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.study.correction_record import record_problems
from CPS4Core.study.folder import (
    DATASET,
    SPLITS,
    Case,
    Study,
    channel_of,
    split_ending,
    visible_files,
)
from CPS4Core.study.problem import ERROR, WARNING, Problem
from CPS4Core.study.splits import Splits

if TYPE_CHECKING:
    import SimpleITK as sitk

_NNUNET_KEYS = ("channel_names", "labels", "numTraining", "file_ending")


def check_study(
    folder: str | PathLike[str], progress: Progress | None = None, channel: int | None = None
) -> list[Problem]:
    """Read every file of a study once and return its problems; an empty list means all is well.

    Raises CPS4Error only for a folder that does not exist.
    """
    progress, root = progress or Progress(), Path(folder)
    if not root.is_dir():
        raise CPS4Error("There is no such study folder", path=root)
    try:
        study = Study.open(root, channel, read_splits=False)
    except CPS4Error as error:
        return [Problem.from_error(error, None, root)]
    problems = [*_file_problems(study, channel or 0), *_dataset_problems(study)]
    splits, found = _read_splits(study)
    problems += found
    contents = _Contents(splits)
    cases = [*study.cases.values(), *study.test_cases.values()]
    for case in progress.track(cases, "Checking cases"):
        problems += _case_problems(study, case, contents)
    return [*problems, *record_problems(study)]


def _file_problems(study: Study, channel: int) -> Iterator[Problem]:
    """Names that are not read, or read by mistake."""
    for part, known in (("Tr", study.cases), ("Ts", study.test_cases)):
        for kind in ("images", "labels"):
            for file in visible_files(study.folder / f"{kind}{part}"):
                parts = split_ending(file.name)
                if parts is None:
                    continue
                stem, ending = parts
                if ending != study.file_ending:
                    yield _other_ending(study, file, stem, ending)
                    continue
                if kind == "labels":
                    if stem not in known:
                        yield Problem(
                            ERROR,
                            stem,
                            file,
                            "A label without an image",
                            f"Add images{part}/{stem}_{channel:04d}{ending} or remove the label",
                        )
                    continue
                if channel_of(stem) is None:
                    yield Problem(
                        ERROR,
                        stem,
                        file,
                        "The image's name has no channel, so it is not read",
                        f"Rename it to {stem}_0000{ending}",
                    )
                elif (found := channel_of(stem)) and found[0] not in known:
                    yield Problem(
                        ERROR,
                        found[0],
                        file,
                        f"The case has no image of channel {channel}",
                        f"Add {found[0]}_{channel:04d}{ending}",
                    )
    for case in study.cases.values():
        for path in (case.image, case.label):
            if path is not None and not path.is_file():
                yield Problem(
                    ERROR,
                    case.id,
                    path,
                    "The table 'dataset' of dataset.json names a file that is not there",
                    "Put the file there, or correct the table",
                )


def _other_ending(study: Study, file: Path, stem: str, ending: str) -> Problem:
    twin = file.with_name(stem + study.file_ending)
    case = (channel_of(stem) or (stem, 0))[0]
    if twin.exists():
        return Problem(
            ERROR,
            case,
            file,
            f"The same name with two endings: {file.name} and {twin.name}; "
            "image libraries may read one for the other",
            f"Remove {file.name} or move it out of the study",
        )
    return Problem(
        ERROR,
        case,
        file,
        f"The file ends with {ending}, the study with {study.file_ending}: it is not read",
        f"Convert it to {study.file_ending}, for example with cps4 study import",
    )


def _dataset_problems(study: Study) -> Iterator[Problem]:
    """What the labelled and unlabelled numbers and nnU-Net's own rules say of dataset.json."""
    path, content = study.folder / DATASET, study.dataset
    if not study.labelled:
        yield Problem(
            ERROR,
            None,
            study.folder / "labelsTr",
            "No case has a label",
            f"Add at least one label as labelsTr/CASE{study.file_ending}",
        )
    if not study.unlabelled and study.labelled:
        yield Problem(
            WARNING,
            None,
            study.folder / "imagesTr",
            "Every case has a label, so nothing is there to learn from without one",
            "Add images without labels, or train with fewer labels, for example --labelled 25%",
        )

    def refused(cause: str, cure: str) -> Problem:
        return Problem(WARNING, None, path, f"nnU-Net would refuse the study: {cause}", cure)

    lacking = [key for key in _NNUNET_KEYS if key not in content]
    if lacking:
        yield refused(f"dataset.json lacks {', '.join(lacking)}", "Add what is missing")
    values = list(study.schema.nnunet_labels().values())
    if sorted(values) != list(range(len(values))) or (
        study.schema.ignore_value is not None and study.schema.ignore_value != max(values)
    ):
        yield refused(
            "its label values are not 0, 1, 2, ... with the ignore label last",
            "cps4 study export writes a folder for nnU-Net with such values",
        )
    table = content.get("dataset")
    seen = set(table) if isinstance(table, dict) else set(study.cases)
    bare = sorted(seen & set(study.unlabelled))
    if bare:
        yield refused(
            f"{len(bare)} images of imagesTr have no label (the first is {bare[0]})",
            "cps4 study export writes a folder for nnU-Net with the labelled cases only",
        )
    elif "numTraining" in content and content["numTraining"] != len(seen):
        yield refused(
            f"numTraining is {content['numTraining']}, but it would find {len(seen)} cases",
            f"Set numTraining to {len(seen)}",
        )


def _read_splits(study: Study) -> tuple[Splits | None, list[Problem]]:
    path = study.folder / SPLITS
    if not path.is_file():
        return None, []
    try:
        splits = Splits.read(path, study.has_label)
    except CPS4Error as error:
        return None, [Problem.from_error(error, None, path)]
    problems = []
    for case in splits.unknown:
        in_test = case in splits.test
        problems.append(
            Problem(
                WARNING if in_test else ERROR,
                case,
                path,
                "The splits name a case that the study does not hold",
                "Add its image to imagesTr, or take it out of splits.json",
            )
        )
    ordered = {c for row in splits.labelled_order.values() for c in row}
    for case, has_label in study.has_label.items():
        if has_label:
            continue
        if case in splits.val or case in splits.test or case in ordered:
            part = next(
                (p for p in ("val", "test") if case in getattr(splits, p)), "a labelled order"
            )
            problems.append(
                Problem(
                    WARNING if part == "test" else ERROR,
                    case,
                    path,
                    f"The splits have the case in {part}, but it has no label",
                    f"Add labelsTr/{case}{study.file_ending}, or take it out of splits.json",
                )
            )
    return splits, problems


class _Contents:
    """Voxel contents seen so far, to find the same volume under two names."""

    def __init__(self, splits: Splits | None) -> None:
        self._splits, self._images, self._labels = splits, {}, {}  # type: ignore[var-annotated]

    def _part(self, case: Case) -> str:
        if case.image.parent.name == "imagesTs":
            return "test"
        for part in ("val", "test") if self._splits else ():
            if case.id in getattr(self._splits, part):
                return part
        return "train"

    def image(self, case: Case, array: np.ndarray) -> Iterator[Problem]:
        twin = self._images.setdefault(_digest(array), case)
        if twin is case:
            return
        parts = {self._part(case), self._part(twin)}
        leak = f", one for {' and one for '.join(sorted(parts))}" if len(parts) > 1 else ""
        yield Problem(
            ERROR,
            case.id,
            case.image,
            f"The same image as case '{twin.id}'{leak}",
            "Remove one of the two",
        )

    def label(self, case: Case, path: Path, array: np.ndarray) -> Iterator[Problem]:
        twin = self._labels.setdefault(_digest(array), case)
        if twin is not case:
            yield Problem(
                WARNING,
                case.id,
                path,
                f"The same label as case '{twin.id}'",
                "See whether one of them was copied by mistake",
            )


def _digest(array: np.ndarray) -> str:
    shape = f"{array.shape} {array.dtype}".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array).tobytes()).hexdigest()


def _case_problems(study: Study, case: Case, contents: _Contents) -> Iterator[Problem]:
    import SimpleITK as sitk

    from CPS4Core.volumes.reading import read_volume

    image = None
    if case.image.is_file():
        try:
            image = read_volume(case.image)
        except CPS4Error as error:
            yield Problem.from_error(error, case.id, case.image)
        else:
            array = sitk.GetArrayViewFromImage(image)
            if array.min() == array.max():
                yield Problem(
                    ERROR,
                    case.id,
                    case.image,
                    f"The image is constant: every voxel is {array.flat[0]:g}",
                    "Export the volume again, or remove the case",
                )
            else:
                yield from contents.image(case, array)
    if case.label is not None and case.label.is_file():
        yield from _label_problems(study, case, case.label, image, contents)


def _label_problems(
    study: Study, case: Case, path: Path, image: sitk.Image | None, contents: _Contents
) -> Iterator[Problem]:
    import SimpleITK as sitk

    from CPS4Core.volumes.reading import read_label_map

    try:
        labels = sitk.GetArrayFromImage(read_label_map(path, image))
    except CPS4Error as error:
        yield Problem.from_error(error, case.id, path)
        return
    foreign = study.schema.foreign_values(labels)
    if foreign:
        yield Problem(
            ERROR,
            case.id,
            path,
            f"Label values {', '.join(map(str, foreign))} are not in dataset.json",
            "Correct the label, add the values to dataset.json, or convert with cps4 study import",
        )
    empty = (0,) if study.schema.ignore_value is None else (0, study.schema.ignore_value)
    if np.isin(labels, empty).all():
        yield Problem(
            ERROR,
            case.id,
            path,
            "The label is empty: no voxel belongs to a structure",
            "Label the case, or remove the file so that the case counts as unlabelled",
        )
    else:
        yield from contents.label(case, path, labels)
