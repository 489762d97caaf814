"""`cps4 study submit`: a corrected label and its volume into a study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress

if TYPE_CHECKING:
    from CPS4Core.schema import LabelSchema

HELP = "make a corrected label the label of a case; the earlier one is kept"
EXAMPLE = """cps4 study submit studies/spine --case case_07 --volume scan.nii.gz \\
    --label corrected.seg.nrrd --author "A. B." --model runs/first --note "L5 redrawn"
It goes to labelsTr (a new case's volume to imagesTr); who, when and from which model stands in
corrections/CASE.json, earlier labels lie in corrections/CASE. The next training takes it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments beside the study."""
    parser.add_argument("--case", required=True, metavar="ID", help="case id, known or new")
    parser.add_argument(
        "--volume", required=True, type=Path, help="the scan, a file or a DICOM series folder"
    )
    parser.add_argument(
        "--label", required=True, type=Path, help="label map on the scan's grid, or .seg.nrrd"
    )
    parser.add_argument("--author", required=True, metavar="NAME", help="who corrected it")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="model whose result was corrected, if one was"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="kept with the correction")
    parser.add_argument(
        "--schema",
        metavar="NAME|FILE",
        help="what the label's values mean: built-in name, dataset.json or schema file (default: "
        "the study's; for a new study the model's, else mrspineseg)",
    )


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Submit; returns 0."""
    from CPS4Core.study.correction import submit_correction

    model, of_model = _model(args.model)
    done = submit_correction(
        study=args.study,
        case=args.case,
        volume=args.volume,
        label=args.label,
        schema=_schema(args, of_model),
        author=args.author,
        model=model,
        note=args.note,
        channel=args.channel,
        progress=progress,
    )
    for text in done.warnings:
        progress.message(text, "warning")
    if getattr(args, "json", False):
        progress.emit({"event": "result", **done.to_dict()})
    elif not getattr(args, "quiet", False):
        created = "A new study. " if done.study_created else ""
        print(
            f"{created}Case {done.case} has version {done.version} of its label "
            f"({done.label.relative_to(args.study)}), use: {done.split}. Labelled cases: "
            f"{done.labelled}, unlabelled: {done.unlabelled}. "
            f"Next: cps4 train {args.study} --output RUN"
        )
    return 0


def _model(given: Path | None) -> tuple[dict[str, Any] | None, LabelSchema | None]:
    """What is recorded of the model, and its schema."""
    if given is None:
        return None, None
    from CPS4Core.inference.fingerprint import model_fingerprint, model_identity
    from CPS4Core.inference.models import open_model

    info = open_model(given)
    return model_identity(info) | {"fingerprint": model_fingerprint(info)}, info.schema


def _schema(args: argparse.Namespace, of_model: LabelSchema | None) -> LabelSchema:
    """The schema of the label's values; raises CPS4Error where it could be one of two."""
    from CPS4Core.schema import schema_from_dataset_json
    from CPS4Core.study.folder import DATASET, read_dataset_json
    from CPS4Core.study.importers import read_schema

    if args.schema:
        return read_schema(args.schema)
    path = args.study / DATASET
    if not path.is_file():
        return of_model or read_schema(None)
    own = schema_from_dataset_json(read_dataset_json(args.study), path)
    named = str(args.label).lower().endswith(".seg.nrrd")
    if of_model and not named and of_model.nnunet_labels() != own.nnunet_labels():
        raise CPS4Error(
            "The model and the study number the structures differently",
            path=args.label,
            cure=f"Say with --schema what the label's values mean, for example --schema {path}",
        )
    return own
