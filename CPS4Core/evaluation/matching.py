"""Which prediction belongs to which label map, and which schema the labels follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.schema import (
    LabelSchema,
    built_in_schema,
    built_in_schemas,
    schema_from_dataset_json,
    schema_from_dict,
)


@dataclass(frozen=True)
class Pair:
    """A case's label map and its prediction, if there is one."""

    case: str
    label: Path
    prediction: Path | None


def label_files(folder: Path) -> dict[str, Path]:
    """{case id: label map} of the volume files directly in a folder.

    A label volume is preferred to a .seg.nrrd of the same case. Raises CPS4Error where the folder
    is missing or two files claim one case.
    """
    from CPS4Core.volumes.reading import case_id_of, is_volume_file

    if not folder.is_dir():
        raise CPS4Error("There is no such folder", path=folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda p: (_is_segmentation(p), p.name)):
        if path.name.startswith(".") or not is_volume_file(path):
            continue
        case = case_id_of(path)
        if case in found and not _is_segmentation(path):
            raise CPS4Error(
                f"Two files are of case '{case}': {found[case].name} and {path.name}",
                path=folder,
                cure="Remove one of them",
            )
        found.setdefault(case, path)
    return found


def match_cases(
    predictions: Path, labels: Path, wanted: list[str] | None = None
) -> tuple[list[Pair], list[str]]:
    """(pairs sorted by case id, case ids of predictions that no label was found for).

    `wanted` restricts the cases. Raises CPS4Error where a wanted case has no label map, where there
    are no label maps, or where not one prediction matches.
    """
    truths, given = label_files(labels), label_files(predictions)
    if not truths:
        raise CPS4Error(
            "No label maps here", path=labels, cure="Give the folder with the true labels"
        )
    absent = sorted(set(wanted or []) - set(truths))
    if absent:
        raise CPS4Error(
            f"The split names cases without a label map: {', '.join(absent)}", path=labels
        )
    cases = sorted(truths if wanted is None else set(wanted))
    if not any(case in given for case in cases):
        raise CPS4Error(
            f"No prediction has the name of a case (such as '{cases[0]}')" if cases else "No cases",
            path=predictions,
            cure="Name each prediction like its label map, for example CASE.nii.gz",
        )
    pairs = [Pair(case, truths[case], given.get(case)) for case in cases]
    return pairs, sorted(set(given) - set(truths))


def labels_folder(folder: Path) -> Path:
    """The folder of label maps: `folder`, or its labelsTr where a study is given."""
    inner = folder / "labelsTr"
    return inner if inner.is_dir() else folder


def schema_of(labels: Path, given: str | None = None) -> LabelSchema:
    """The schema named or stored in `given`, else the study's around `labels`, else MRSpineSeg.

    `given` is a built-in name, a schema's JSON file or a dataset.json.
    """
    if given is not None:
        return read_schema(given)
    for folder in (labels, labels.resolve().parent):
        if (folder / "dataset.json").is_file():
            return read_schema(str(folder / "dataset.json"))
    return built_in_schema("mrspineseg")


def read_schema(given: str) -> LabelSchema:
    """A built-in schema by name, or one from a JSON file; raises CPS4Error for neither."""
    if given.lower() in built_in_schemas():
        return built_in_schema(given)
    path = Path(given)
    if not path.is_file():
        raise CPS4Error(
            f"'{given}' is neither a built-in label schema nor a file",
            cure="Built in are: " + ", ".join(built_in_schemas()),
        )
    content = read_json(path, "label schema")
    if not isinstance(content, dict):
        raise CPS4Error("The label schema is not a JSON object", path=path)
    if "structures" in content:
        return schema_from_dict(content, path)
    return schema_from_dataset_json(content, path)


def split_cases(splits: Path, split: str) -> list[str]:
    """Case ids of one part of a splits.json, such as "test"; raises CPS4Error without it."""
    content = read_json(splits, "splits.json")
    cases = content.get(split) if isinstance(content, dict) else None
    if not isinstance(cases, list) or not all(isinstance(c, str) for c in cases):
        known = [k for k, v in content.items() if isinstance(v, list)] if content else []
        raise CPS4Error(
            f"The splits have no part '{split}'",
            path=splits,
            cure="Parts there: " + (", ".join(known) or "none"),
        )
    if not cases:
        raise CPS4Error(f"The part '{split}' of the splits is empty", path=splits)
    return cases


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(".seg.nrrd")
