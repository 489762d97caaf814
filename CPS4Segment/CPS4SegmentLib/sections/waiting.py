"""What a request waits for, in words: the worker does one thing after the other."""

from __future__ import annotations

from typing import Any

_ENDS = {
    "segment": "the segmentation is done",
    "maps": "the prompt maps are ready",
    "submit": "the correction is submitted",
}


def waits_until(request: Any) -> str:
    """What has to happen before a request begins; empty where it begins at once."""
    return _ENDS.get(request.waits_for, "")
