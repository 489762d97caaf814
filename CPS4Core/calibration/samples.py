"""What a model finds in held-out volumes and whether it is right: the data of a calibration.

Each case counts twice, as it is and cut off above the sacrum and its disc (up to the highest row
that has any of them), because that is how a spine without an anchor looks on the same scanner.
Phantoms can join, some with and as many without a visible sacrum. What is made so counts half:
whole scans are the more usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from CPS4Core.calibration.fit import Pair
from CPS4Core.evaluation.case import Settings, evaluate_case
from CPS4Core.inference.confidence import Signs, case_signs
from CPS4Core.inference.plausibility import ANCHOR_ORDERS
from CPS4Core.inference.predictor import Predictor
from CPS4Core.phantom import make_phantom
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.study.folder import Case
from CPS4Core.volumes.reading import read_label_map, read_volume
from CPS4Core.volumes.sagittal import to_sagittal

FEWEST_MM = 80.0
"""Height of what is left of a cut volume below which it is not used: two levels."""


MADE_WEIGHT = 0.5
"""How much a cut copy or a phantom counts beside a scan."""


@dataclass(frozen=True)
class Sample:
    """One volume. `group` is the case it comes from, which is held out as a whole.

    levels: (signs, right) of each level found. case: (signs, all of them right), None if there is
    none.
    """

    group: str
    levels: list[tuple[Signs, bool]]
    case: tuple[Signs, bool] | None
    weight: float = 1.0


def study_samples(
    cases: Sequence[Case],
    schema: LabelSchema,
    predictor: Predictor,
    progress: Progress,
    *,
    cut: bool = True,
) -> list[Sample]:
    """Samples of a study's cases, whose labels follow `schema`; with `cut`, of cut copies too.

    Raises CPS4Error for a volume that cannot be used.
    """
    pairs = []
    for case in progress.track(cases, "reading"):
        assert case.label is not None
        image = read_volume(case.image)
        pairs.append((case.id, image, read_label_map(case.label, like=image)))
    unjudged = never_labelled([label for _, _, label in pairs], schema)
    found = []
    for case_id, image, label in progress.track(pairs, "calibrating on cases"):
        found.append(
            sample_of(case_id, image, label, schema, predictor, progress, unjudged=unjudged)
        )
        if cut and (rows := rows_above_anchor(label, schema)):
            image, label = (cut_below(volume, rows) for volume in (image, label))
            found.append(
                sample_of(
                    *(case_id, image, label, schema, predictor, progress, MADE_WEIGHT, unjudged)
                )
            )
    return found


def never_labelled(labels: Sequence[sitk.Image], schema: LabelSchema) -> tuple[str, ...]:
    """Structures in none of the label maps: whether they are rightly found, nobody can say."""
    shown = {int(v) for label in labels for v in np.unique(sitk.GetArrayViewFromImage(label))}
    return tuple(s.name for s in schema.structures if s.value not in shown)


def phantom_samples(
    count: int, seed: int, predictor: Predictor, progress: Progress, **phantom: object
) -> list[Sample]:
    """Samples of `count` phantoms without a visible sacrum and as many with it."""
    schema, found = predictor.info.schema, []
    for number in progress.track(range(2 * count), "calibrating on phantoms"):
        own = int(np.random.SeedSequence([seed, number, 77]).generate_state(1)[0])
        image, label = make_phantom(
            own,
            schema=schema,
            sacrum_visible=number % 2 == 0,
            **phantom,  # type: ignore[arg-type]
        )
        found.append(
            sample_of(f"phantom {number}", image, label, schema, predictor, progress, MADE_WEIGHT)
        )
    return found


def sample_of(
    group: str,
    image: sitk.Image,
    label: sitk.Image,
    schema: LabelSchema,
    predictor: Predictor,
    progress: Progress | None = None,
    weight: float = 1.0,
    unjudged: Sequence[str] = (),
) -> Sample:
    """Segment a volume and compare it with its label map, whose values follow `schema`.

    Structures that are `unjudged`, by short name, do not count.

    Raises CPS4Error for a volume that cannot be segmented.
    """
    own = predictor.info.schema
    found = predictor.predict(image, progress)
    truth = own.to_indices(schema.remap(to_sagittal(label).array, own))
    known = tuple(name for name in unjudged if name in own.class_names)
    settings = Settings(distances=False, unjudged=known)
    scores = evaluate_case(group, found.indices, truth, found.stack.spacing, own, settings)
    right = {i: values["right"] for i, values in scores.classes.items()}
    levels = [(signs, r) for i, signs in found.signs.items() if (r := right.get(i)) is not None]
    case = (case_signs(found.signs), all(r for _, r in levels)) if levels else None
    return Sample(group, levels, case, weight)


def rows_above_anchor(label: sitk.Image, schema: LabelSchema) -> int | None:
    """Sagittal rows above the highest row with the sacrum or its disc; None for none or too few."""
    stack = to_sagittal(label)
    anchors = [s.value for s in schema.structures if s.order in ANCHOR_ORDERS]
    rows = np.flatnonzero(np.isin(stack.array, anchors).any(axis=(0, 2)))
    if not rows.size or rows[0] * stack.spacing[1] < FEWEST_MM:
        return None
    return int(rows[0])


def cut_below(image: sitk.Image, rows: int) -> sitk.Image:
    """The uppermost sagittal rows of a volume of any orientation, in its own geometry."""
    stack = to_sagittal(image)
    axis, flipped = stack.axes[1], stack.flips[1]
    size, start = list(image.GetSize()), [0, 0, 0]
    if flipped:
        start[axis] = size[axis] - rows
    size[axis] = rows
    return sitk.RegionOfInterest(image, size, start)


def level_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Every level of the samples."""
    return [
        Pair(sample.group, signs, right, sample.weight)
        for sample in samples
        for signs, right in sample.levels
    ]


def case_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Every volume of the samples in which a level was found."""
    return [Pair(s.group, *s.case, s.weight) for s in samples if s.case is not None]
