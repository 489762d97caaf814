"""Segment and score everything that a model card tells of, by the functions behind `cps4`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.case import RARE_LEVELS, Settings
from CPS4Core.evaluation.folder import evaluate_pairs
from CPS4Core.evaluation.matching import Pair
from CPS4Core.evaluation.tables import write_results
from CPS4Core.files import make_folder
from CPS4Core.inference.segment import Options, segment_volumes
from CPS4Core.model_card.variants import VARIANTS, make_variant
from CPS4Core.model_folder import ModelInfo
from CPS4Core.phantom import make_phantom
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Case, Study, case_fingerprint
from CPS4Core.training.initial import seen_images
from CPS4Core.volumes.reading import read_label_map, read_volume
from CPS4Core.volumes.sagittal import to_sagittal
from CPS4Core.volumes.writing import write_volume

ANCHOR_WARNING = "Level anchor not visible"
ORIGINAL = "original"
MEASURES = (
    "dice",
    "shape_dice_vertebrae",
    "shape_dice_discs",
    "level_accuracy",
    "every_level_right",
)
PHANTOM_SIZE = 320


@dataclass(frozen=True)
class Measured:
    """One set of scans: what it is, means, every case, warnings by case, QC pictures by case."""

    name: str
    what: str
    means: dict[str, float | None]
    cases: dict[str, dict[str, float | None]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)


def held_out_cases(info: ModelInfo, study: Study, split: str) -> list[Case]:
    """The labelled cases of a part of the study; raises CPS4Error where the model learned from one.

    Validation cases may have chosen the best epoch: that is told in the card, not refused.
    """
    selection = study.select()
    if split not in ("test", "val"):
        raise CPS4Error(f"No held-out part '{split}'", cure="Give test or val")
    ids = selection.test if split == "test" else selection.val
    cases = [study.cases[c] for c in ids if study.cases[c].label is not None]
    if not cases:
        raise CPS4Error(f"The study has no labelled {split} case", path=study.folder)
    taught = set(seen_images(info.provenance, "labelled"))
    learned = [c.id for c in cases if case_fingerprint(c.image) in taught]
    if learned:
        raise CPS4Error(
            f"The model was trained on cases of the part '{split}': {', '.join(learned)}",
            path=info.folder,
            cure="Measure it on cases that it has not seen",
        )
    return cases


def never_labelled(info: ModelInfo, study: Study) -> tuple[str, ...]:
    """Structures that no labelled training case showed: the truth cannot judge them here."""
    seen: dict[str, int] = info.provenance.get("classes", {})
    return tuple(n for n in study.schema.class_names[1:] if seen.get(n) == 0)


def measure_cases(
    info: ModelInfo,
    study: Study,
    cases: list[Case],
    output: Path,
    options: Options,
    progress: Progress,
) -> Iterator[Measured]:
    """The cases as they are, then each variant of them."""
    images = {c.id: c.image for c in cases}
    labels = {c.id: c.label for c in cases if c.label is not None}
    unjudged = never_labelled(info, study)
    yield _measure(
        *(info, study, ORIGINAL, "as they are", images, labels, output, options, progress, unjudged)
    )
    for variant in VARIANTS:
        folder = output / variant.name
        made: dict[str, Path] = {}
        truth: dict[str, Path] = {}
        for seed, case in enumerate(cases):
            made[case.id] = folder / "images" / f"{case.id}.nii.gz"
            truth[case.id] = folder / "labels" / f"{case.id}.nii.gz"
            volume = read_volume(case.image)
            label = read_label_map(labels[case.id], like=volume)
            changed = make_variant(variant, to_sagittal(volume), to_sagittal(label), seed)
            for image, path in zip(changed, (made[case.id], truth[case.id]), strict=True):
                make_folder(path.parent)
                write_volume(image, path)
        yield _measure(
            *(info, study, variant.name, variant.what, made, truth, output, options, progress),
            unjudged,
        )


def measure_phantoms(
    info: ModelInfo, study: Study, count: int, output: Path, options: Options, progress: Progress
) -> Measured:
    """Phantoms that end above L5/S, so that nothing is seen to count from."""
    folder = output / "phantoms"
    images, labels = {}, {}
    for seed in range(count):
        name = f"phantom_{seed}"
        made = make_phantom(
            10_000 + seed, size=PHANTOM_SIZE, schema=study.schema, sacrum_visible=False
        )
        images[name] = folder / "images" / f"{name}.nii.gz"
        labels[name] = folder / "labels" / f"{name}.nii.gz"
        for image, path in zip(made, (images[name], labels[name]), strict=True):
            make_folder(path.parent)
            write_volume(image, path)
    what = "phantoms without sacrum and L5/S"
    return _measure(info, study, "phantoms", what, images, labels, output, options, progress)


def measure_unlabelled(
    info: ModelInfo, volume: Path, output: Path, options: Options, progress: Progress
) -> Measured:
    """A volume without sacrum and without truth: what the model says of it."""
    found = segment_volumes(
        [volume], output / "no-anchor" / "predictions", info.folder, options, progress
    )
    if found.failed:
        raise CPS4Error(next(iter(found.failed.values())), path=volume)
    pictures = {c: output / "no-anchor" / "predictions" / f"{c}_qc.png" for c in found.finished}
    return Measured("no-anchor", "a volume without sacrum", {}, {}, found.finished, pictures)


def _measure(
    info: ModelInfo,
    study: Study,
    name: str,
    what: str,
    images: dict[str, Path],
    labels: dict[str, Path],
    output: Path,
    options: Options,
    progress: Progress,
    unjudged: tuple[str, ...] = (),
) -> Measured:
    predictions = output / name / "predictions"
    found = segment_volumes(list(images.values()), predictions, info.folder, options, progress)
    written = {case: predictions / f"{case}.nii.gz" for case in images}
    pairs = [
        Pair(case, labels[case], path if path.is_file() else None) for case, path in written.items()
    ]
    rare = tuple(n for n in RARE_LEVELS if n in study.schema.class_names)
    scores = evaluate_pairs(
        pairs,
        study.schema,
        Settings(rare, distances=False, unjudged=unjudged),
        prediction_schema=info.schema,
        progress=progress,
    )
    content = write_results(scores, output / name / "scores", {"variant": what})
    return Measured(
        name,
        what,
        {m: content["summary"][m]["mean"] for m in MEASURES},
        {c: {m: v["measures"][m] for m in MEASURES} for c, v in content["cases"].items()},
        found.finished,
        {case: predictions / f"{case}_qc.png" for case in images},
    )


def summary(measured: list[Measured]) -> dict[str, Any]:
    """What model.json keeps of it, the cases as they are first."""
    return {m.name: {"what": m.what, "cases": len(m.cases), **m.means} for m in measured if m.cases}
