"""Write a study, or a labelled share of it, as a strict nnU-Net v2 raw data set."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path, make_folder, write_json
from CPS4Core.progress import Progress
from CPS4Core.schema import IGNORE_INDEX, LabelSchema
from CPS4Core.study.folder import DATASET, Study
from CPS4Core.study.splits import Selection

SPLITS_FINAL = "splits_final.json"


def export_nnunet(
    study: Study,
    selection: Selection,
    output: Path,
    number: int = 501,
    progress: Progress | None = None,
    test: bool = True,
) -> Path:
    """Write `output/DatasetNNN_Name` and return it.

    imagesTr and labelsTr hold the labelled and the validation cases only, imagesTs and labelsTs the
    test cases (unless not `test`), splits_final.json one fold with the study's own validation
    cases. Label values become 0, 1, 2, ... with the ignore label last. Files that are there
    already stay.
    """
    progress = progress or Progress()
    if not 0 < number < 1000:
        raise CPS4Error(f"{number} is no nnU-Net data set number", cure="Choose one from 1 to 999")
    folder = output / data_set_name(study, number)
    for part in ("imagesTr", "labelsTr"):
        make_folder(folder / part)
    schema = consecutive(study.schema)
    train = [*selection.labelled, *selection.val]
    held = [c for c in selection.test if c in study.cases] if test else []
    jobs = [(c, "Tr") for c in train] + [(c, "Ts") for c in held]
    for case_id, part in progress.track(jobs, "Exporting cases"):
        case = study.cases[case_id]
        image = folder / f"images{part}" / f"{case_id}_0000{study.file_ending}"
        _copy([(case.image, image)])
        if case.label is None:
            continue
        label = folder / f"labels{part}" / f"{case_id}{study.file_ending}"
        if schema == study.schema:
            _copy([(case.label, label)])
        elif not label.exists():
            _renumber(case.label, label, study.schema, schema)
    channels = study.dataset.get("channel_names") or {"0": "MRI"}
    write_json(
        folder / DATASET,
        {
            "channel_names": {"0": next(iter(channels.values()))},
            "labels": schema.nnunet_labels(),
            "numTraining": len(train),
            "file_ending": study.file_ending,
            "name": folder.name.partition("_")[2],
            "cps4_schema": schema.to_dict(),
        },
    )
    if selection.val:
        fold = {"train": sorted(selection.labelled), "val": sorted(selection.val)}
        write_json(folder / SPLITS_FINAL, [fold])
    return folder


def data_set_name(study: Study, number: int) -> str:
    """`DatasetNNN_Name`, as nnU-Net calls the study."""
    name = re.sub(r"[^A-Za-z0-9]+", "", str(study.dataset.get("name") or study.folder.name))
    return f"Dataset{number:03d}_{name or 'Study'}"


def consecutive(schema: LabelSchema) -> LabelSchema:
    """The schema with the values 1, 2, ... and the ignore label last; itself where it is so."""
    structures = tuple(replace(s, value=i) for i, s in enumerate(schema.structures, start=1))
    ignore = None if schema.ignore_value is None else len(structures) + 1
    values = sorted(schema.nnunet_labels().values())
    last = schema.ignore_value in (None, values[-1])
    if last and values == list(range(len(values))):
        return schema
    return replace(schema, structures=structures, ignore_value=ignore)


def _copy(pairs: Iterable[tuple[Path, Path]]) -> None:
    for source, target in pairs:
        if not target.exists():
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)


def _renumber(source: Path, target: Path, schema: LabelSchema, new: LabelSchema) -> None:
    import SimpleITK as sitk

    from CPS4Core.volumes.reading import read_label_map
    from CPS4Core.volumes.writing import write_volume

    label = read_label_map(source, None)
    indices = schema.to_indices(sitk.GetArrayFromImage(label))
    if new.ignore_value is not None:
        indices = np.where(indices == IGNORE_INDEX, new.ignore_value, indices).astype(np.uint8)
    image = sitk.GetImageFromArray(indices)
    image.CopyInformation(label)
    write_volume(image, target)
