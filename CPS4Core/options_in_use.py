"""Which options of a configuration anything depends on: those of what is switched off do not count
when two runs are compared."""

from __future__ import annotations

from typing import Any

OF_DECODING = (
    "decode_every",
    "decoded_text_weight",
    "level_confidence",
    "unsure_levels",
    "decoded_outlines",
)
"""Options of stage 2 about decoded pseudo-labels."""


def options_in_use(settings: dict[str, Any]) -> dict[str, Any]:
    """A dumped configuration, or some parts of it, without the options of phantoms where there are
    none, and of decoding where pseudo-labels are each voxel's own."""
    found = dict(settings)
    if "phantoms" in found and not found["phantoms"]["count"]:
        found["phantoms"] = {"count": 0}
    if found.get("stage2", {}).get("pseudo_labels") == "voxel":
        found["stage2"] = {k: v for k, v in found["stage2"].items() if k not in OF_DECODING}
    return found
