"""`submit`: a corrected segmentation and its volume into a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CPS4Core.progress import Progress
from CPS4Core.schema import schema_from_dict
from CPS4Core.study.correction import submit_correction
from CPS4Core.worker.loaded import Loaded


@dataclass(frozen=True)
class Arguments:
    """`label`: a label map in the values of `schema` (`LabelSchema.to_dict`), or a .seg.nrrd.

    `model`: as in the answer to `segment`; its folder is not kept. `overwrite` changes nothing:
    earlier labels are always kept, and an image of the study is never replaced.
    """

    study: str
    case: str
    volume: str
    label: str
    schema: dict[str, Any]
    author: str
    model: dict[str, Any] | None = None
    note: str = ""
    overwrite: bool = False


def run(arguments: Arguments, progress: Progress, loaded: Loaded) -> dict[str, Any]:
    """Submit it; a study that is not there yet is made with `schema`.

    Result: case, image and label (files in the study), version (of the label, from 1), split (test,
    val, train, or unlabelled where the label never teaches), labelled, unlabelled (cases now),
    study_created, warnings.
    """
    return submit_correction(
        study=Path(arguments.study),
        case=arguments.case,
        volume=Path(arguments.volume),
        label=Path(arguments.label),
        schema=schema_from_dict(arguments.schema),
        author=arguments.author,
        model=arguments.model,
        note=arguments.note,
        progress=progress,
    ).to_dict()
