"""Takes the result out of the slice views while a prompt map is looked at, and puts it back."""

from __future__ import annotations

from typing import Any

import slicer

HIDDEN = "CPS4.HiddenByMaps"
"""Attribute of a segmentation that was hidden here: a saved scene knows it, too."""


def hide_only(segmentation: Any) -> None:
    """Hide this segmentation in the slice views, and show again every other one hidden here.

    None shows all again. One that the user has hidden is left alone.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        display = node.GetDisplayNode()
        if display is None:
            continue
        if node is segmentation and display.GetVisibility2D():
            display.SetVisibility2D(False)
            node.SetAttribute(HIDDEN, "yes")
        elif node is not segmentation and node.GetAttribute(HIDDEN):
            display.SetVisibility2D(True)
            node.RemoveAttribute(HIDDEN)
