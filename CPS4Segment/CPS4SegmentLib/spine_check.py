"""What is doubtful about the levels of a segmentation, looked at as it is now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from CPS4Core.inference.plausibility import (
    DOUBLED,
    MISSING,
    NOTHING,
    SWAPPED,
    sequence_warnings,
)
from CPS4Core.schema import LabelSchema
from CPS4Core.volumes.sagittal import to_sagittal
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.geometry import is_sheared, local_to_patient, sitk_geometry
from CPS4SegmentLib.result_record import RESULT, read_record, segments
from CPS4SegmentLib.segment_tags import is_named_by_hand, structure_of
from CPS4SegmentLib.segment_voxels import Layer, common_grid, layers

_OF_VOXELS = (NOTHING, MISSING, DOUBLED, SWAPPED)
"""Beginnings of warnings that are checked again: a stored one may be out of date."""

_OF_LEVELS = re.compile(r"\b(level|levels|vertebra|vertebrae)\b", re.IGNORECASE)


def spine_warnings(segmentation: Any) -> list[str]:
    """What a person should look at, in sentences: the result's own warnings and today's.

    Missing, doubled and swapped levels and the level anchor are checked again on the segments as
    they are now named and painted. Once the user has renamed a level, what the model said of
    levels no longer counts. Raises CPS4Error where no label schema fits.
    """
    return warnings_of(segmentation, schema_of(segmentation), layers(segmentation))


def warnings_of(segmentation: Any, schema: LabelSchema, found: Sequence[Layer]) -> list[str]:
    """`spine_warnings` with the schema and the layers at hand."""
    result = read_record(segmentation, RESULT) or {}
    stored = [w for w in result.get("warnings", []) if not w.startswith(_OF_VOXELS)]
    if any(is_named_by_hand(schema, s) for s in segments(segmentation).values()):
        stored = [w for w in stored if not _is_about_levels(w, schema)]
    current = _doubled_names(segmentation, schema) + _sequence(segmentation, schema, found)
    known = {_beginning(w) for w in stored}
    return stored + [w for w in current if _beginning(w) not in known]


def _sequence(segmentation: Any, schema: LabelSchema, found: Sequence[Layer]) -> list[str]:
    if not schema.ordered_indices():
        return []
    own = {i: structure_of(schema, s) for i, s in segments(segmentation).items()}
    indices = {i: schema.index_of(s.name) for i, s in own.items() if s is not None}
    if not found:
        return [NOTHING]
    array, matrix = common_grid(found, indices)
    matrix = local_to_patient(segmentation, matrix) @ matrix
    if is_sheared(matrix):
        return []
    image = sitk.GetImageFromArray(array.astype(np.uint8, copy=False))
    sitk_geometry(image, matrix)
    stack = to_sagittal(image)
    return sequence_warnings(stack.array, stack.spacing, schema)


def _doubled_names(segmentation: Any, schema: LabelSchema) -> list[str]:
    found = (structure_of(schema, segment) for segment in segments(segmentation).values())
    names = Counter(s.name for s in found if s is not None)
    doubled = [name for name, count in names.items() if count > 1]
    return [f"More than one segment is named {', '.join(doubled)}"] if doubled else []


def _is_about_levels(warning: str, schema: LabelSchema) -> bool:
    words = set(re.findall(r"[\w/]+", warning))
    return bool(_OF_LEVELS.search(warning)) or any(s.name in words for s in schema.structures)


def _beginning(warning: str) -> str:
    return warning.split(":")[0]
