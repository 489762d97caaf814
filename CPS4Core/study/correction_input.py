"""What is submitted as a correction, and what of it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.study.folder import DATASET, Case, Study

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Correction:
    """What was submitted."""

    case: str
    volume: Path
    label: Path
    schema: LabelSchema
    author: str
    when: str
    model: dict[str, str] | None
    note: str

    def check(self) -> None:
        """Raise CPS4Error for a case id that is no file name, and for nobody's correction."""
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", self.case):
            raise CPS4Error(
                f"'{self.case}' cannot be a case id",
                cure="Use letters, digits, hyphens, underscores and dots, for example case_07",
            )
        if not self.author:
            raise CPS4Error(
                "It is not said who made the correction", cure="Give a name or initials (author)"
            )


def study_values(
    given: Correction, image: sitk.Image, study: Study
) -> tuple[np.ndarray, list[str]]:
    """The label's voxels in the study's values, and the names of the structures that occur."""
    import SimpleITK as sitk

    from CPS4Core.volumes.geometry import check_same_geometry
    from CPS4Core.volumes.reading import read_label_map
    from CPS4Core.volumes.segmentation import (
        IGNORE_SEGMENT,
        is_segmentation_file,
        read_segmentation,
        value_of,
    )

    if is_segmentation_file(given.label):
        labels = read_segmentation(given.label, given.schema, image)[0]
        check_same_geometry(labels, image, given.label)
    else:
        labels = read_label_map(given.label, image)
    array = sitk.GetArrayFromImage(labels).astype(np.int64)
    if foreign := given.schema.foreign_values(array):
        raise CPS4Error(
            f"Label values {', '.join(map(str, foreign))} are not in the schema "
            f"'{given.schema.name}' of the label",
            path=given.label,
        )
    present = set(np.unique(array).tolist()) - {0}
    named = [(s.value, s.name, s.code) for s in given.schema.structures if s.value in present]
    structures = [name for _, name, _ in named]
    if not named:
        raise CPS4Error(
            "The label is empty: no voxel belongs to a structure",
            path=given.label,
            cure="Label at least one structure",
        )
    ignore = given.schema.ignore_value
    if ignore is not None and ignore in present:
        named.append((ignore, IGNORE_SEGMENT, None))
    found = {name: value_of(study.schema, name, code) for _, name, code in named}
    unknown = [name for name, value in found.items() if value is None]
    if unknown:
        raise CPS4Error(
            f"The study does not know {', '.join(unknown)}",
            path=study.folder / DATASET,
            cure="Rename or remove these segments, or add the structures to dataset.json",
        )
    values = np.zeros(array.shape, np.uint16)
    for value, name, _ in named:
        values[array == value] = np.uint16(found[name] or 0)
    return values, structures


def label_map(values: np.ndarray, like: sitk.Image) -> sitk.Image:
    import SimpleITK as sitk

    labels = sitk.GetImageFromArray(values.astype(np.uint8 if values.max() < 256 else np.uint16))
    labels.CopyInformation(like)
    return labels


def refuse_constant(image: sitk.Image, path: Path) -> None:
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(image)
    if array.min() == array.max():
        raise CPS4Error(
            f"The image is constant: every voxel is {array.flat[0]:g}",
            path=path,
            cure="Submit the volume that the label was drawn on",
        )


def same_image(known: Case, image: sitk.Image) -> sitk.Image:
    """The study's own image of the case; raises CPS4Error where the submitted one is another."""
    from CPS4Core.volumes.geometry import volume_difference
    from CPS4Core.volumes.reading import read_volume

    stored = read_volume(known.image)
    difference = volume_difference(image, stored)
    if difference:
        raise CPS4Error(
            f"The study holds another image as case '{known.id}'; of the submitted one, "
            f"{difference}",
            path=known.image,
            cure="Submit it under another case id, or correct the case's own image",
        )
    return stored


def refuse_twin(study: Study, image: sitk.Image, given: Correction, progress: Progress) -> None:
    """Raise CPS4Error where the study has this image as another case: it could leak into a test."""
    from CPS4Core.volumes.geometry import has_geometry_of, volume_difference
    from CPS4Core.volumes.reading import read_volume

    for case in [*study.cases.values(), *study.test_cases.values()]:
        progress.check()
        if not has_geometry_of(case.image, image):
            continue
        try:
            difference = volume_difference(image, read_volume(case.image))
        except CPS4Error:
            continue  # cps4 study check names it
        if difference is None:
            raise CPS4Error(
                f"The study holds this image already, as case '{case.id}'",
                path=case.image,
                cure=f"Submit the label of '{given.case}' as case '{case.id}'",
            )


def refuse_changed(stored: sitk.Image, image: sitk.Image, path: Path, ending: str) -> None:
    from CPS4Core.volumes.geometry import volume_difference

    if volume_difference(stored, image):
        raise CPS4Error(
            f"The volume does not survive being written as {ending}, the study's format",
            path=path,
            cure="Convert it to that format yourself and look at it, then submit it",
        )
