"""What is known of a segmentation besides its voxels: the result it came from and its level shifts.

Kept as JSON in attributes of the node, which a scene saves, and in a tag of every segment of ours,
which a .seg.nrrd saves: whichever segments a user deletes, the others still carry it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from CPS4SegmentLib.segment_tags import VALUE, set_tag, tag

RESULT = "CPS4.Result"
SHIFTS = "CPS4.Shifts"


def segments(node: Any) -> dict[str, Any]:
    """The segmentation's vtkSegments by id, in their order."""
    contents = node.GetSegmentation()
    return {i: contents.GetSegment(i) for i in contents.GetSegmentIDs()}


def read_record(node: Any, name: str) -> Any:
    """The content of RESULT or SHIFTS, None where there is none or it is damaged."""
    texts = [node.GetAttribute(name), *(tag(s, name) for s in segments(node).values())]
    for text in filter(None, texts):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            continue
    return None


def write_record(node: Any, name: str, content: Any) -> None:
    """Keep `content` under RESULT or SHIFTS; None removes it."""
    # A bar separates tags in a .seg.nrrd.
    text = None if content is None else json.dumps(content).replace("|", "\\u007c")
    if text is None:
        node.RemoveAttribute(name)
    else:
        node.SetAttribute(name, text)
    for segment in segments(node).values():
        if segment.HasTag(VALUE):
            set_tag(segment, name, text)


def without_paths(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without the paths in it: a scene may be handed on."""
    kept = {key: value for key, value in result.items() if key != "label"}
    if isinstance(kept.get("model"), Mapping):
        kept["model"] = {k: v for k, v in kept["model"].items() if k != "folder"}
    return kept
