"""Where the images and masks of a data set lie: MRSpineSeg, SPIDER, and flat folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
from CPS4Core.study.folder import DATASET, split_ending, visible_files
from CPS4Core.study.problem import ERROR, WARNING, Problem

_MASK_SUFFIX = re.compile(r"[_-](masks?|msk|seg|segmentation|labels?)$", re.IGNORECASE)
_MASK_PREFIX = re.compile(r"^(mask|seg|label)[_-]", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One case of a data set: image (a file or a DICOM folder), mask if any, patient if known."""

    id: str
    image: Path
    label: Path | None = None
    patient: str | None = None


@dataclass
class Collection:
    """The cases of a data set, how its masks are numbered, and what could not be matched.

    `folded` maps mask values to others before `schema` applies.
    """

    sources: list[Source]
    schema: LabelSchema
    problems: list[Problem] = field(default_factory=list)
    folded: dict[int, int] = field(default_factory=dict)
    channel: str = "T2"


def find_mrspineseg(folder: Path) -> Collection:
    """MRSpineSeg: `train/MR/CaseN.nii.gz` and `train/Mask/mask_caseN.nii.gz`, gaps in N.

    `folder` is the one with `train`, or `train` itself.
    """
    root = folder / "train" if (folder / "train").is_dir() else folder
    images = _numbered(root / "MR", re.compile(r"case(\d+)", re.IGNORECASE))
    masks = _numbered(root / "Mask", re.compile(r"mask_?case(\d+)", re.IGNORECASE))
    if not images:
        raise CPS4Error(
            "No images CaseN.nii.gz in the folder MR",
            path=root / "MR",
            cure="Give the folder that holds train/MR and train/Mask",
        )
    sources = [Source(f"Case{n}", image, masks.get(n)) for n, image in sorted(images.items())]
    orphans = [masks[n] for n in sorted(set(masks) - set(images))]
    return Collection(sources, built_in_schema("mrspineseg"), [_orphan(mask) for mask in orphans])


def find_spider(folder: Path, sequences: Sequence[str] = ("t2",)) -> Collection:
    """SPIDER: `images/N_SEQUENCE.mha` and `masks/N_SEQUENCE.mha`; sequences t1, t2, t2_SPACE.

    Vertebrae that reach out of the view (101.. in the masks) count as the vertebra they are.
    """
    sources, problems = [], []
    for sequence in sequences:
        pattern = re.compile(rf"(\d+)_{re.escape(sequence)}", re.IGNORECASE)
        images = _numbered(folder / "images", pattern)
        masks = _numbered(folder / "masks", pattern)
        if not images:
            raise CPS4Error(
                f"No images N_{sequence}.mha",
                path=folder / "images",
                cure="Choose another --sequence (t1, t2, t2_SPACE), or correct the folder",
            )
        for number, image in sorted(images.items()):
            patient = f"spider_{number:03d}"
            case = f"{patient}_{sequence.lower()}"
            sources.append(Source(case, image, masks.get(number), patient))
        problems += [_orphan(masks[n]) for n in sorted(set(masks) - set(images))]
    schema = built_in_schema("spider")
    vertebrae = [s.value for s in schema.structures if s.kind == "vertebra"]
    return Collection(
        sources,
        schema,
        problems,
        folded={100 + value: value for value in vertebrae},
        channel="/".join(s.upper() for s in sequences),
    )


def find_flat(folder: Path, masks: Path | None, schema: LabelSchema) -> Collection:
    """A folder of volumes or DICOM folders; masks of the same name in `masks`, or beside them
    with `_mask`, `_seg` or `_label` in the name. Images without a mask are unlabelled cases.
    """
    from CPS4Core.volumes.reading import is_dicom_folder

    images: dict[str, list[Path]] = {}
    labels: dict[str, list[Path]] = {}
    same = masks is None or masks.resolve() == folder.resolve()
    for file in visible_files(folder):
        if not (parts := split_ending(file.name)):
            continue
        is_mask = same and (_bare(parts[0]) != parts[0] or parts[1].lower() == ".seg.nrrd")
        (labels if is_mask else images).setdefault(parts[0], []).append(file)
    for sub in sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")):
        if sub.resolve() != (masks or folder).resolve() and is_dicom_folder(sub):
            images.setdefault(sub.name, []).append(sub)
    if masks is not None and not same:
        for file in visible_files(masks):
            if parts := split_ending(file.name):
                labels.setdefault(parts[0], []).append(file)
    if not images:
        raise CPS4Error(
            "The folder holds no volume", path=folder, cure="Give the folder with the images"
        )
    return _matched(images, labels, schema)


def _matched(
    images: dict[str, list[Path]], labels: dict[str, list[Path]], schema: LabelSchema
) -> Collection:
    # nnU-Net's _0000 goes only where every image has it: IM_0001, IM_0002 are cases, not channels.
    numbered = all(stem.endswith("_0000") for stem in images)
    of_images: dict[str, list[Path]] = {}
    for stem, files in images.items():
        of_images.setdefault(_plain_id(stem[:-5] if numbered else stem), []).extend(files)
    problems, of_labels = [], {}  # type: ignore[var-annotated]
    for stem, files in labels.items():
        candidates = [stem, _bare(stem)]
        candidates += [c[:-5] for c in candidates if c.endswith("_0000")]
        case = next((_plain_id(c) for c in candidates if _plain_id(c) in of_images), None)
        if case is None:
            problems += [_orphan(file) for file in files]
        else:
            of_labels.setdefault(case, []).extend(files)
    sources = []
    for case, files in sorted(of_images.items()):
        masks = of_labels.get(case, [])
        doubled = [_doubled(case, group) for group in (files, masks) if len(group) > 1]
        problems += doubled
        if not doubled:
            sources.append(Source(case, files[0], masks[0] if masks else None))
    return Collection(sources, schema, problems, channel="MRI")


def read_schema(choice: str | None, *folders: Path | None) -> LabelSchema:
    """A schema by built-in name or JSON file (dataset.json or a schema of ours).

    Without a choice: the dataset.json in one of `folders`, else MRSpineSeg's.
    """
    if choice is None:
        for folder in folders:
            if folder is not None and (folder / DATASET).is_file():
                choice = str(folder / DATASET)
                break
        else:
            return built_in_schema("mrspineseg")
    if choice.lower() in built_in_schemas() or not choice.lower().endswith(".json"):
        return built_in_schema(choice)
    content = read_json(choice, "label schema")
    if "structures" in content:
        return schema_from_dict(content, choice)
    return schema_from_dataset_json(content, choice)


def with_ignore(schema: LabelSchema) -> LabelSchema:
    """The schema with an ignore value, the next after the highest, if it has none."""
    if schema.ignore_value is not None:
        return schema
    return replace(schema, ignore_value=max(s.value for s in schema.structures) + 1)


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Number in the file's name -> file, for the volumes of a folder whose stem matches."""
    found: dict[int, Path] = {}
    for file in visible_files(folder):
        parts = split_ending(file.name)
        match = pattern.fullmatch(parts[0]) if parts else None
        if match:
            if int(match[1]) in found:
                raise CPS4Error(
                    f"Two files for number {match[1]}: {found[int(match[1])].name} and {file.name}",
                    path=folder,
                    cure="Move one of them away",
                )
            found[int(match[1])] = file
    return found


def _bare(stem: str) -> str:
    """A mask's stem without the word that marks it as one."""
    return _MASK_PREFIX.sub("", _MASK_SUFFIX.sub("", stem))


def _plain_id(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)


def _orphan(mask: Path) -> Problem:
    return Problem(
        WARNING, None, mask, "A mask without an image", "Add its image, or correct the name"
    )


def _doubled(case: str, files: Iterable[Path]) -> Problem:
    first, *others = sorted(files)
    return Problem(
        ERROR,
        case,
        first,
        f"The same case again as {', '.join(f.name for f in others)}; which one counts is unclear",
        "Move all but one away",
    )
