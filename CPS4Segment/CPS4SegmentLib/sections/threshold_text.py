"""What the panel says about a prompt map's threshold in the slice that the views show."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from CPS4SegmentLib import prompt_map_view


def slice_nodes() -> list[Any]:
    """All slice views of the scene."""
    return slicer.util.getNodesByClass("vtkMRMLSliceNode")


def shown_point(slice_axis: dict[str, Any]) -> tuple[float, float, float] | None:
    """A point (r, a, s) in mm of the sagittal slice that is shown; None without any slice view.

    Of all slice views the one counts that looks most nearly along `slice_axis`.
    """
    lps = np.asarray(slice_axis["direction_lps"], float)
    axis = lps * (-1, -1, 1)
    best, along = np.zeros(3), -1.0
    for node in slice_nodes():
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        parallel = abs(float(matrix[:3, 2] @ axis))
        if parallel > along:
            best, along = matrix[:3, 3], parallel
    return None if along < 0 else (float(best[0]), float(best[1]), float(best[2]))


def threshold_text(prompt: dict[str, Any], slice_axis: dict[str, Any], volume: Any) -> str:
    """The threshold in the shown slice and the highest response in the whole volume."""
    point = shown_point(slice_axis)
    threshold = None
    if point is not None:
        threshold = prompt_map_view.threshold_at(prompt, slice_axis, point, volume)
    here = "none in this slice" if threshold is None else f"{threshold:.2f} in this slice"
    return f"{here}; the map's highest value is {prompt['peak']:.2f}"
