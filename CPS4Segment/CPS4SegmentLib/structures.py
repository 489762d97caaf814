"""The structures of a segmentation as rows of a table, from its voxels as they are now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.geometry import local_to_world
from CPS4SegmentLib.jump import center, jump
from CPS4SegmentLib.result_record import segments
from CPS4SegmentLib.segment_tags import (
    CONFIDENCE,
    is_named_by_hand,
    segment_value,
    structure_of,
    tag,
)
from CPS4SegmentLib.segment_voxels import Layer, layers
from CPS4SegmentLib.spine_check import spine_warnings, warnings_of

__all__ = ["StructureRow", "center", "jump", "list_structures", "set_visible", "spine_warnings"]


@dataclass(frozen=True)
class StructureRow:
    """A segment. `color` is RGB in 0..255; `kind` is the schema's, `unknown` for other segments.

    volume_mm3: in the world, with scaling transforms. confidence: in 0..1; None where the model
    gave none or the user named it. warnings: sentences about this structure. named_by_hand:
    whether the user chose the name.
    """

    segment_id: str
    name: str
    full_name: str
    kind: str
    color: tuple[int, int, int]
    visible: bool
    volume_mm3: float
    confidence: float | None
    warnings: list[str] = field(default_factory=list)
    named_by_hand: bool = False


def list_structures(segmentation: Any) -> list[StructureRow]:
    """All segments in spine order from the top down, then those without a place along the spine.

    Raises CPS4Error where no label schema fits the segmentation.
    """
    schema, found = schema_of(segmentation), layers(segmentation)
    whole = warnings_of(segmentation, schema, found)
    volumes = _volumes(segmentation, found)
    display = segmentation.GetDisplayNode()
    placed = []
    for number, (segment_id, segment) in enumerate(segments(segmentation).items()):
        structure = structure_of(schema, segment)
        by_hand = is_named_by_hand(schema, segment)
        confidence = None if by_hand else tag(segment, CONFIDENCE)
        red, green, blue = (round(255 * channel) for channel in segment.GetColor())
        volume = volumes.get(segment_id, 0.0)
        row = StructureRow(
            segment_id,
            segment.GetName(),
            structure.full_name if structure else segment.GetName(),
            _kind(schema, segment),
            (red, green, blue),
            bool(display is None or display.GetSegmentVisibility(segment_id)),
            volume,
            None if confidence is None else float(confidence),
            _own_warnings(schema, segment, volume) + [w for w in whole if _names(w, segment)],
            by_hand,
        )
        order = structure.order if structure and structure.order is not None else -1
        placed.append((-order, number, row))
    return [row for _, _, row in sorted(placed, key=lambda entry: entry[:2])]


def set_visible(segmentation: Any, segment_id: str, on: bool) -> None:
    """Show or hide a segment in all views; raises CPS4Error for an unknown id."""
    if segmentation.GetSegmentation().GetSegment(segment_id) is None:
        raise CPS4Error(f"There is no segment '{segment_id}'", cure="Refresh the table")
    segmentation.GetDisplayNode().SetSegmentVisibility(segment_id, on)


def _volumes(segmentation: Any, found: list[Layer]) -> dict[str, float]:
    world = local_to_world(segmentation)
    scale = 1.0 if world is None else float(abs(np.linalg.det(world[:3, :3])))
    return {
        segment_id: count * layer.voxel_mm3 * scale
        for layer in found
        for segment_id, count in layer.counts().items()
    }


def _kind(schema: LabelSchema, segment: Any) -> str:
    structure = structure_of(schema, segment)
    if structure is not None:
        return structure.kind
    return "unknown" if segment_value(schema, segment) is None else "other"


def _own_warnings(schema: LabelSchema, segment: Any, volume: float) -> list[str]:
    warnings = []
    if segment_value(schema, segment) is None:
        warnings.append(
            f"No structure of {schema.name} has this name; rename the segment before submitting"
        )
    if not volume:
        warnings.append("The segment is empty")
    return warnings


def _names(warning: str, segment: Any) -> bool:
    """Whether a sentence names the segment: L4 is not meant where it says L4/L5."""
    return bool(re.search(rf"(?<![\w/]){re.escape(segment.GetName())}(?![\w/])", warning))
