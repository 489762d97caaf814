"""A corrected label comes into a study: complete or not at all, earlier ones kept.

The files are prepared first and then renamed into place in an order that is right at every step: a
new image (an unlabelled case), the record, a copy of the earlier label, the label, dataset.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import Staging, new_folder, remove_abandoned, write_error, write_json
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.study.correction_input import (
    Correction,
    label_map,
    refuse_changed,
    refuse_constant,
    refuse_twin,
    same_image,
    study_values,
)
from CPS4Core.study.correction_record import Record
from CPS4Core.study.folder import DATASET, Study, case_fingerprint, dataset_content

_MODEL = ("name", "fingerprint", "data", "licence", "method", "encoder_weights", "levels")
"""What is kept of the model's description: names and numbers, never a folder."""


@dataclass(frozen=True)
class Submission:
    """What became of a correction.

    image, label: the files in the study. version: of the label, from 1. split: test, val, train, or
    unlabelled for a training case whose label never teaches. labelled, unlabelled: cases of the
    study now. warnings: what follows from the split, in sentences.
    """

    case: str
    image: Path
    label: Path
    version: int
    split: str
    labelled: int
    unlabelled: int
    study_created: bool = False
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        content = asdict(self) | {"image": str(self.image), "label": str(self.label)}
        return content | {"warnings": list(self.warnings)}


def submit_correction(
    study: str | PathLike[str],
    case: str,
    volume: str | PathLike[str],
    label: str | PathLike[str],
    schema: LabelSchema,
    author: str,
    model: Mapping[str, Any] | None = None,
    note: str = "",
    when: datetime | None = None,
    *,
    channel: int | None = None,
    progress: Progress | None = None,
) -> Submission:
    """Make `label`, drawn on `volume`, the label of a case of a study.

    Parameters
    ----------
    study: its folder. One that is empty or not there becomes a study with `schema`.
    case: the case id, known to the study or new.
    label: label map in the values of `schema` on the volume's grid, or a .seg.nrrd with its names.
    model: what the correction started from, as in CASE.json of `cps4 segment`.
    channel: which one the volume is, in a study of several.

    Submitting the same label again changes nothing. Raises CPS4Error, and leaves the study as it
    was, for structures that it does not know, an empty label or one on another grid, another image
    under the same id, the same image under another id, and where the study cannot be written.
    """
    root = Path(study)
    correction = Correction(
        case=case,
        volume=Path(volume),
        label=Path(label),
        schema=schema,
        author=author.strip(),
        when=(when or datetime.now(timezone.utc)).isoformat(timespec="seconds"),
        model=None if model is None else {k: str(model[k]) for k in _MODEL if model.get(k)},
        note=note.strip(),
    )
    correction.check()
    progress = progress or Progress()
    remove_abandoned(root)
    if (root / DATASET).is_file():
        return _submit(Study.open(root, channel), correction, channel or 0, progress)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise CPS4Error(
            "This folder is not empty and no study: it has no dataset.json",
            path=root,
            cure="Choose the folder of a study, or an empty or a new one",
        )
    with new_folder(root) as folder:
        empty = Study(folder, schema, {}, None, ".nii.gz", {"name": root.resolve().name})
        made = _submit(empty, correction, 0, progress)
    image, label_file = (root / p.relative_to(folder) for p in (made.image, made.label))
    return replace(made, image=image, label=label_file, study_created=True)


def _submit(study: Study, given: Correction, channel: int, progress: Progress) -> Submission:
    from CPS4Core.volumes.reading import read_volume
    from CPS4Core.volumes.writing import write_volume

    known = study.cases.get(given.case) or study.test_cases.get(given.case)
    in_test = given.case in study.test_cases and given.case not in study.cases
    part, ending = "Ts" if in_test else "Tr", study.file_ending
    image_file = study.folder / f"images{part}" / f"{given.case}_{channel:04d}{ending}"
    label_file = study.folder / f"labels{part}" / f"{given.case}{ending}"
    image = read_volume(given.volume)
    values, structures = study_values(given, image, study)
    if known is None:
        if image_file.exists():  # a file system that does not tell capitals apart
            raise CPS4Error(
                "A case whose id differs in capitals only is there",
                path=image_file,
                cure="Submit it under the id that the study has",
            )
        refuse_constant(image, given.volume)
        refuse_twin(study, image, given, progress)
        stored = image
    else:
        stored = same_image(known, image)
    old_label = known.label if known is not None else None
    if (
        old_label is not None and not old_label.is_file()
    ):  # dataset.json names one that is not there
        old_label = None
    before = case_fingerprint(old_label) if old_label is not None else None
    record = Record.read(study, given.case).settled(before)
    with Staging() as staging:
        # The order of the renames, which a reader must be able to live with at every step.
        new_image, new_record = staging.add(image_file), staging.add(record.path)
        earlier = staging.add(record.kept(record.versions[-1].version)) if old_label else None
        new_label, new_dataset = staging.add(label_file), staging.add(study.folder / DATASET)
        if known is None or known.image != image_file:  # it may lie outside of imagesTr
            write_volume(image, new_image)
            stored = read_volume(new_image)
            refuse_changed(stored, image, given.volume, ending)
        write_volume(label_map(values, stored), new_label)
        fingerprint = case_fingerprint(new_label)
        if fingerprint == before and old_label == label_file:
            new_label.unlink()  # the same again: nothing but dataset.json may need to follow
        else:
            record = record.with_next(
                label=fingerprint,
                author=given.author,
                when=given.when,
                note=given.note,
                model=given.model,
                structures=structures,
            )
            write_json(new_record, record.to_dict())
            if old_label is not None and earlier is not None:
                _copy(old_label, earlier)
        content = dataset_content(
            study.folder,
            study.schema,
            name=study.dataset.get("name"),
            channel="MRI",
            file_ending=ending,
            soon_labelled=None if in_test else given.case,
        )
        if content != study.dataset:
            write_json(new_dataset, content)
        progress.check()
        staging.commit()
    has_label = study.has_label | ({} if in_test else {given.case: True})
    split, warnings = _use(study, given.case, in_test, sum(has_label.values()))
    return Submission(
        case=given.case,
        image=image_file,
        label=label_file,
        version=record.versions[-1].version,
        split=split,
        labelled=sum(has_label.values()),
        unlabelled=len(has_label) - sum(has_label.values()),
        warnings=tuple(warnings),
    )


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise write_error(error, target) from error


def _use(study: Study, case: str, in_test: bool, labelled: int) -> tuple[str, list[str]]:
    """The split that a case belongs to, and what the user should know about it."""
    splits = study.splits
    if in_test or (splits and case in splits.test):
        return "test", [_YARDSTICK.format("test")]
    if splits and case in splits.val:
        return "val", [_YARDSTICK.format("validation")]
    if splits and case in splits.always_unlabelled:
        return "unlabelled", [
            "splits.json names the case in always_unlabelled, so its label does not teach until it "
            "is taken out there"
        ]
    if splits is None and labelled > 2:
        return "train", [
            "The study has no splits.json, so each training draws its validation cases anew; fix "
            "them with cps4 study split"
        ]
    return "train", []


_YARDSTICK = (
    "This is a {} case: scores measured before cannot be compared with those on the corrected label"
)
