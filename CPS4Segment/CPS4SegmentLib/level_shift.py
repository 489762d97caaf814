"""One-step correction of the numbering: "this one is L5" renames all vertebrae and discs together.

A shift changes names, colours, codes and value tags; segment ids and voxels stay. Its history is
kept with the segmentation, so that it can be undone after saving and loading too.
"""

from __future__ import annotations

from typing import Any

import slicer

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema, Structure
from CPS4Core.volumes.segmentation import Segment, segments_of
from CPS4SegmentLib.color_table import schema_of
from CPS4SegmentLib.result_record import SHIFTS, read_record, segments, write_record
from CPS4SegmentLib.segment_tags import NAMED_BY, USER, dress, set_tag, structure_of, tag


def possible_names(segmentation: Any, segment_id: str) -> list[str]:
    """Names that the segment could have: the schema's of its kind, along the spine from the top.

    Empty for a segment without a place along the spine. Raises CPS4Error where no schema fits.
    """
    schema = schema_of(segmentation)
    own = _structure(segmentation, segment_id, schema)
    if own is None or own.order is None:
        return []
    along = (schema.structures[i - 1] for i in reversed(schema.ordered_indices()))
    return [s.name for s in along if s.kind == own.kind]


def shift_levels(segmentation: Any, segment_id: str, new_name: str) -> list[str]:
    """Give the segment `new_name` and move all other levels by as many; returns what changed.

    Each line reads "L4 is now L5", from the top down. Nothing changes where a level would leave the
    schema's range or the name is of another kind: CPS4Error.
    """
    schema = schema_of(segmentation)
    own = _structure(segmentation, segment_id, schema)
    wanted = schema.structures[schema.index_of(new_name) - 1]
    if own is None or own.order is None:
        name = segmentation.GetSegmentation().GetSegment(segment_id).GetName()
        raise CPS4Error(
            f"'{name}' is no level of the spine", cure="Choose a vertebra or a disc in the table"
        )
    if wanted.order is None or wanted.kind != own.kind:
        raise CPS4Error(
            f"{own.name} is a {own.kind} and cannot become {wanted.name}",
            cure=f"Choose one of {', '.join(possible_names(segmentation, segment_id))}",
        )
    steps = wanted.order - own.order
    if not steps:
        return []
    targets = _targets(segmentation, schema, steps)
    before = [_state(segment_id, s) for segment_id, s in segments(segmentation).items()]
    lines = []
    with slicer.util.NodeModify(segmentation):
        for segment_id, (old, new) in targets.items():
            segment = segmentation.GetSegmentation().GetSegment(segment_id)
            dress(segment, _segment(schema, new))
            set_tag(segment, NAMED_BY, USER)
            lines.append((-new.order, f"{old.name} is now {new.name}"))
        changed = [state for state in before if state["id"] in targets]
        for state in changed:
            state["to"] = targets[state["id"]][1].name
        history = [*(read_record(segmentation, SHIFTS) or []), changed]
        write_record(segmentation, SHIFTS, history)
    return [line for _, line in sorted(lines)]


def can_undo_shift(segmentation: Any) -> bool:
    """Whether there is a level shift to undo."""
    return bool(read_record(segmentation, SHIFTS))


def undo_shift(segmentation: Any) -> list[str]:
    """Take the last level shift back; returns what changed.

    A segment that was removed or renamed since is left as it is. Raises CPS4Error where there is
    nothing to undo.
    """
    history = read_record(segmentation, SHIFTS)
    if not history:
        raise CPS4Error("There is no level shift to undo")
    schema, own, lines = schema_of(segmentation), segments(segmentation), []
    with slicer.util.NodeModify(segmentation):
        for state in history[-1]:
            segment, old = own.get(state["id"]), schema.find(state["name"])
            if segment is None or old is None or segment.GetName() != state["to"]:
                continue
            dress(segment, _segment(schema, old))
            set_tag(segment, NAMED_BY, state["named_by"])
            lines.append((-(old.order or 0), f"{state['to']} is {old.name} again"))
        write_record(segmentation, SHIFTS, history[:-1] or None)
    return [line for _, line in sorted(lines)]


def _targets(
    segmentation: Any, schema: LabelSchema, steps: int
) -> dict[str, tuple[Structure, Structure]]:
    """Segment id -> (what it is, what it becomes), for all levels."""
    by_order = {s.order: s for s in schema.structures if s.order is not None}
    targets, lost = {}, []
    for segment_id, segment in segments(segmentation).items():
        old = structure_of(schema, segment)
        if old is None or old.order is None:
            continue
        new = by_order.get(old.order + steps)
        if new is None or new.kind != old.kind:
            lost.append(old.name)
        else:
            targets[segment_id] = (old, new)
    if lost:
        way = "up" if steps > 0 else "down"
        levels = abs(steps) // 2
        raise CPS4Error(
            f"{', '.join(lost)} cannot move {levels} level{'s' * (levels > 1)} {way}: the names of "
            f"{schema.name} end there",
            cure="Remove or rename this segment first if it is wrong, or choose another name",
        )
    return targets


def _structure(segmentation: Any, segment_id: str, schema: LabelSchema) -> Structure | None:
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise CPS4Error(f"There is no segment '{segment_id}'", cure="Refresh the table")
    return structure_of(schema, segment)


def _segment(schema: LabelSchema, structure: Structure) -> Segment:
    return next(s for s in segments_of(schema) if s.value == structure.value)


def _state(segment_id: str, segment: Any) -> dict[str, Any]:
    return {"id": segment_id, "name": segment.GetName(), "named_by": tag(segment, NAMED_BY)}
