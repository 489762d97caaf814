"""A study on disk: nnU-Net v2's raw layout, in which an image without a label is an unlabelled one.

dataset.json                    names, label values, file ending
splits.json                     ours, optional: test, validation, training, labelled orders
imagesTr/CASE_0000.nii.gz       one file a case and channel
labelsTr/CASE.nii.gz            only for labelled cases
imagesTs/, labelsTs/            nnU-Net's test cases: listed, never trained on
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_json
from CPS4Core.schema import LabelSchema, schema_from_dataset_json
from CPS4Core.study.splits import Selection, Splits, default_splits

if TYPE_CHECKING:
    from os import PathLike

DATASET, SPLITS, SOURCES = "dataset.json", "splits.json", "sources.json"
VOLUME_ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Case:
    """One volume and, where there is one, its label map."""

    id: str
    image: Path
    label: Path | None = None


@dataclass
class Study:
    """An opened study; `cases` is sorted by case id and holds imagesTr only."""

    folder: Path
    schema: LabelSchema
    cases: dict[str, Case]
    splits: Splits | None
    file_ending: str
    dataset: dict[str, Any]
    test_cases: dict[str, Case] = field(default_factory=dict)

    @classmethod
    def open(
        cls, folder: str | PathLike[str], channel: int | None = None, *, read_splits: bool = True
    ) -> Study:
        """Open a study folder, nnU-Net's or ours.

        With several channels (`CASE_0001...`) one must be chosen; otherwise channel 0 is the only
        one. Raises CPS4Error for what makes the folder unusable; `check_study` finds the rest.
        """
        root = Path(folder)
        if not root.is_dir():
            raise CPS4Error("There is no such study folder", path=root)
        dataset = read_dataset_json(root)
        schema = schema_from_dataset_json(dataset, root / DATASET)
        if not (root / "imagesTr").is_dir() and not isinstance(dataset.get("dataset"), Mapping):
            raise CPS4Error(
                "The study has no folder imagesTr",
                path=root,
                cure="Put the images there as CASE_0000.nii.gz, or use cps4 study import",
            )
        ending = str(dataset.get("file_ending") or _only_ending(root / "imagesTr"))
        if ending not in VOLUME_ENDINGS:
            raise CPS4Error(
                f"The file ending '{ending}' is not that of a volume",
                path=root / DATASET,
                cure="Use one of " + ", ".join(VOLUME_ENDINGS),
            )
        cases = _scan(root, "Tr", ending, channel)
        for case in _listed(root, dataset, channel):
            # The folders go first: a label added there later counts, whatever the table says.
            if case.id not in cases or (
                cases[case.id].label is None and case.label is not None and case.label.is_file()
            ):
                cases[case.id] = case
        if not cases:
            raise CPS4Error(
                f"The study has no image named CASE_{channel or 0:04d}{ending}",
                path=root / "imagesTr",
                cure="Name the images so, or correct file_ending in dataset.json",
            )
        study = cls(
            folder=root,
            schema=schema,
            cases=dict(sorted(cases.items())),
            splits=None,
            file_ending=ending,
            dataset=dataset,
            test_cases=_scan(root, "Ts", ending, channel),
        )
        if read_splits and (root / SPLITS).is_file():
            study.splits = Splits.read(root / SPLITS, study.has_label)
        return study

    @property
    def has_label(self) -> dict[str, bool]:
        """Case id -> whether a label file lies beside the image."""
        return {case.id: case.label is not None for case in self.cases.values()}

    @property
    def labelled(self) -> list[str]:
        """Ids of the cases with a label file."""
        return [case.id for case in self.cases.values() if case.label is not None]

    @property
    def unlabelled(self) -> list[str]:
        """Ids of the cases without a label file."""
        return [case.id for case in self.cases.values() if case.label is None]

    @property
    def patients(self) -> dict[str, str]:
        """Case id -> patient, for cases whose import recorded one; others stand for themselves."""
        path = self.folder / SOURCES
        if not path.is_file():
            return {}
        recorded = read_json(path, SOURCES)
        return {c: r["patient"] for c, r in recorded.items() if c in self.cases and "patient" in r}

    def select(
        self, labelled: str | int | float = "all", order: str | int = "0", seed: int = 0
    ) -> Selection:
        """Who trains with and without a label, who validates, who tests.

        Without splits.json one tenth of the labelled cases, drawn by `seed`, validates.
        """
        splits = self.splits or default_splits(self, seed)
        return splits.select(labelled, order)

    def tested(self, selection: Selection) -> list[Case]:
        """The labelled test cases: those of the splits, without any those of imagesTs."""
        named = [self.cases[c] for c in selection.test if c in self.cases]
        return [c for c in named or self.test_cases.values() if c.label is not None]

    def held_out(self, selection: Selection) -> list[Case]:
        """Validation cases, and training cases whose label this selection hides, to choose on."""
        ids = (*selection.val, *selection.unlabelled)
        return [self.cases[c] for c in ids if self.cases[c].label is not None]


def case_fingerprint(path: str | PathLike[str]) -> str:
    """First 16 hex digits of the SHA-256 of a file: names its content without its path."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CPS4Error(f"The file cannot be read ({error.strerror})", path=path) from error
    return digest.hexdigest()[:16]


def read_dataset_json(folder: Path) -> dict[str, Any]:
    """The content of a study's dataset.json; raises CPS4Error where it is missing or damaged."""
    path = folder / DATASET
    if not path.is_file():
        raise CPS4Error(
            "The study has no dataset.json",
            path=path,
            cure="Make the study with cps4 study import, or write nnU-Net's dataset.json",
        )
    content = read_json(path, DATASET)
    if not isinstance(content, dict):
        raise CPS4Error("dataset.json is not a JSON object", path=path)
    return content


def write_dataset_json(
    folder: str | PathLike[str],
    schema: LabelSchema,
    *,
    name: str | None = None,
    channel: str = "T2",
    file_ending: str = ".nii.gz",
) -> None:
    """Write or refresh dataset.json from the images and labels that lie in the folder now."""
    root = Path(folder)
    content = dataset_content(root, schema, name=name, channel=channel, file_ending=file_ending)
    write_json(root / DATASET, content)


def dataset_content(
    root: Path,
    schema: LabelSchema,
    *,
    name: str | None = None,
    channel: str = "T2",
    file_ending: str = ".nii.gz",
    soon_labelled: str | None = None,
) -> dict[str, Any]:
    """What dataset.json says once the case `soon_labelled` has its image and its label.

    Other keys of an existing file stay. nnU-Net wants a label for each image in imagesTr unless
    the table `dataset` names its training cases: with unlabelled images there we write that table,
    so that nnU-Net trains on the labelled cases of the same folder.
    """
    content = read_dataset_json(root) if (root / DATASET).is_file() else {}
    content.setdefault("channel_names", {"0": channel})
    content["labels"] = schema.nnunet_labels()
    cases = {case.id: case.label is not None for case in _scan(root, "Tr", file_ending, 0).values()}
    if soon_labelled is not None:
        cases = dict(sorted((cases | {soon_labelled: True}).items()))
    elsewhere = {
        case: entry
        for case, entry in (content.pop("dataset", None) or {}).items()
        if case not in cases
    }
    labelled = [case for case, has_label in cases.items() if has_label]
    content["numTraining"] = len(labelled) + len(elsewhere)
    content["file_ending"] = file_ending
    content["name"] = name or content.get("name") or root.resolve().name
    if elsewhere or len(labelled) < len(cases):
        ours = {
            case: {
                "images": [f"imagesTr/{case}_0000{file_ending}"],
                "label": f"labelsTr/{case}{file_ending}",
            }
            for case in labelled
        }
        content["dataset"] = elsewhere | ours
    content["cps4_schema"] = schema.to_dict()
    return content


def split_ending(name: str) -> tuple[str, str] | None:
    """File name -> (stem, ending) for a volume's name, None for any other."""
    for ending in VOLUME_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return None


def visible_files(folder: Path) -> list[Path]:
    """Files of a folder, sorted, without hidden ones (interrupted writes, macOS leftovers)."""
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))


def channel_of(stem: str) -> tuple[str, int] | None:
    """`CASE_0000` -> (CASE, 0), None for a name without a channel."""
    found = _CHANNEL.fullmatch(stem)
    return (found[1], int(found[2])) if found else None


def _scan(root: Path, part: str, ending: str, channel: int | None) -> dict[str, Case]:
    """Cases of imagesTr (`part` "Tr") or imagesTs with the study's ending, sorted by id."""
    found = {}
    for file in visible_files(root / f"images{part}"):
        known = channel_of(file.name[: -len(ending)]) if file.name.endswith(ending) else None
        if known is None:
            continue
        case, number = known
        if channel is None and number != 0:
            raise several_channels(case, file)
        if number == (channel or 0):
            label = root / f"labels{part}" / f"{case}{ending}"
            found[case] = Case(case, file, label if label.is_file() else None)
    return dict(sorted(found.items()))


def several_channels(case: str, file: Path) -> CPS4Error:
    """The error for a case with more than channel 0."""
    return CPS4Error(
        f"Case '{case}' has several channels, but one image a case is read",
        path=file,
        cure="Choose the channel to use, for example --channel 0",
    )


def _listed(root: Path, dataset: Mapping[str, Any], channel: int | None) -> list[Case]:
    """Cases of nnU-Net's optional table `dataset`, whose files may lie anywhere."""
    table = dataset.get("dataset")
    if not isinstance(table, Mapping):
        return []
    cases = []
    for case, entry in table.items():
        try:
            images, label = [root / i for i in entry["images"]], entry.get("label")
            if channel is None and len(images) > 1:
                raise several_channels(case, images[1])
            entry_label = root / label if label else None
        except (KeyError, TypeError, AttributeError) as error:
            raise CPS4Error(
                f"The entry of case '{case}' in the table 'dataset' is not nnU-Net's",
                path=root / DATASET,
                cure="Correct the entry or remove the table",
            ) from error
        if (channel or 0) < len(images):
            cases.append(Case(str(case), images[channel or 0], entry_label))
    return cases


def _only_ending(images: Path) -> str:
    """The one ending in use in imagesTr, where dataset.json does not name it."""
    endings = {parts[1] for f in visible_files(images) if (parts := split_ending(f.name))}
    if len(endings) == 1:
        return endings.pop()
    raise CPS4Error(
        "dataset.json does not say which file_ending the images have",
        path=images.parent / DATASET,
        cure='Add for example "file_ending": ".nii.gz"',
    )
