"""All scores of one case, by class and for the case as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from CPS4Core.evaluation.distances import (
    DEFAULT_TOLERANCES,
    IN_PLANE,
    class_distances,
    distance_names,
)
from CPS4Core.evaluation.levels import (
    LEAST_SHARE,
    best_shift,
    identified_levels,
    level_accuracy,
    merged_dice,
    named_as,
    right_levels,
)
from CPS4Core.evaluation.overlap import mean_over_classes, overlap_of, slice_confusions
from CPS4Core.evaluation.per_slice import per_slice_overlap
from CPS4Core.schema import IGNORE_INDEX, LabelSchema

RARE_LEVELS = ("T9", "T10", "T9/T10", "T10/T11")
"""Levels at the upper edge of a lumbar view, few and small enough to shift a mean by points."""

BOTH, MISSED, SPURIOUS = "found", "missed", "spurious"


@dataclass(frozen=True)
class Settings:
    """What an evaluation computes.

    rare: short names left out of the means that end in `_without_rare`.
    distances: whether surface distances are computed; tolerances: of the NSD in mm.
    least_share: see `identified_levels`.
    unjudged: short names of structures that the true labels leave out although the images show
        them (the sacrum in SPIDER): predicted ones are background.
    """

    rare: tuple[str, ...] = RARE_LEVELS
    distances: bool = True
    tolerances: tuple[float, ...] = DEFAULT_TOLERANCES
    least_share: float = LEAST_SHARE
    unjudged: tuple[str, ...] = ()

    @property
    def class_measures(self) -> list[str]:
        """Names of the measures that each class has."""
        names = distance_names(self.tolerances) if self.distances else []
        return ["dice", "iou", *names, *(name + IN_PLANE for name in names)]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return asdict(self)


@dataclass(frozen=True)
class CaseScores:
    """Scores of one case.

    measures: {name: value} of the whole case, NaN where undefined.
    classes: {class index: {name: value}} of the classes that truth or prediction has; besides the
        measures `outcome` (found, missed, spurious), `true_voxels`, `predicted_voxels`,
        `named_as` (the label predicted most inside the structure), `identified`, and `right`
        (whether what is predicted so is it, see `right_levels`).
    """

    case: str
    measures: dict[str, float]
    classes: dict[int, dict[str, Any]]
    slices: int
    spacing: tuple[float, ...]


def class_groups(schema: LabelSchema, settings: Settings) -> dict[str, list[int]]:
    """{suffix of the measure's name: class indices it is the mean of}."""
    everything = list(range(1, schema.class_count))
    rare = {i for i in everything if schema.class_names[i] in settings.rare}
    return {
        "": everything,
        "_vertebrae": schema.indices_of_kind("vertebra"),
        "_discs": schema.indices_of_kind("disc"),
        "_without_rare": [i for i in everything if i not in rare],
    }


def evaluate_case(
    case: str,
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    schema: LabelSchema,
    settings: Settings | None = None,
) -> CaseScores:
    """Score one case by the metric rule.

    Parameters
    ----------
    prediction, truth: class indices [sagittal slices, rows, cols]; IGNORE_INDEX in the truth marks
        voxels that do not count.
    spacing: (slice, row, col) in mm.

    Raises CPS4Error where the shapes differ or MONAI is missing.
    """
    settings = settings or Settings()
    if settings.unjudged:
        left_out = [schema.index_of(name) for name in settings.unjudged]
        prediction = np.where(np.isin(prediction, left_out), np.uint8(0), prediction)
    confusions = slice_confusions(prediction, truth, schema.class_count)
    confusion = confusions.sum(axis=0)
    ignored = _counts(prediction[truth == IGNORE_INDEX], schema.class_count)
    classes = _class_scores(confusion, ignored, schema, settings)
    if settings.distances:
        for index, values in class_distances(
            prediction, truth, spacing, settings.tolerances
        ).items():
            classes[index].update(values)
    measures: dict[str, float] = {}
    for suffix, indices in class_groups(schema, settings).items():
        for name in settings.class_measures:
            measures[name + suffix] = mean_over_classes(
                {i: values[name] for i, values in classes.items()}, indices
            )
    measures |= _level_measures(confusion, classes, schema)
    for name, value in per_slice_overlap(confusions).items():
        measures[f"per_slice_{name}"] = value
    for outcome in (MISSED, SPURIOUS):
        measures[outcome] = float(sum(v["outcome"] == outcome for v in classes.values()))
    return CaseScores(case, measures, classes, len(truth), tuple(float(mm) for mm in spacing))


def _counts(predicted: np.ndarray, class_count: int) -> np.ndarray:
    """Voxels [K] by class index; predicted ignored voxels are background."""
    counts = np.bincount(predicted, minlength=IGNORE_INDEX + 1)[:class_count]
    return np.asarray(counts)


def _class_scores(
    confusion: np.ndarray, ignored: np.ndarray, schema: LabelSchema, settings: Settings
) -> dict[int, dict[str, Any]]:
    overlap = overlap_of(confusion)
    right = right_levels(confusion, ignored, settings.least_share)
    identified = identified_levels(confusion, schema, settings.least_share)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        i: {
            "outcome": BOTH if true[i] and predicted[i] else MISSED if true[i] else SPURIOUS,
            "true_voxels": int(true[i]),
            "predicted_voxels": int(predicted[i]),
            "dice": overlap["dice"][i],
            "iou": overlap["iou"][i],
            "identified": identified.get(i),
            "named_as": schema.class_names[named_as(confusion, i)] if true[i] else None,
            "right": right.get(i),
        }
        for i in overlap["dice"]
    }


def _level_measures(
    confusion: np.ndarray, classes: Mapping[int, Mapping[str, Any]], schema: LabelSchema
) -> dict[str, float]:
    """Shape and level apart; names end in _vertebrae or _discs where they are of one kind."""
    values: dict[str, float] = {}
    kinds = {"_vertebrae": ["vertebra"], "_discs": ["disc"], "": ["vertebra", "disc"]}
    for suffix, names in kinds.items():
        members = [i for kind in names for i in schema.indices_of_kind(kind)]
        found = {
            i: float(classes[i]["identified"])
            for i in members
            if i in classes and classes[i]["identified"] is not None
        }
        if suffix:
            values["shape_dice" + suffix] = merged_dice(confusion, members)
        values["level_accuracy" + suffix] = level_accuracy(confusion, schema, names)
        values["level_identification" + suffix] = mean_over_classes(found)
    rate = values["level_identification"]
    values["every_level_right"] = float("nan") if np.isnan(rate) else float(rate == 1)
    named = [classes[i]["right"] for i in schema.ordered_indices() if i in classes]
    judged = [right for right in named if right is not None]
    values["every_name_right"] = float(all(judged)) if judged else float("nan")
    shift = best_shift(confusion, schema)
    values["dice_best_shift"], values["best_shift"] = shift.dice, float(shift.levels)
    return values
