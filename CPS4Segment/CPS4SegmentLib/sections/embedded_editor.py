"""Slicer's Segment Editor inside the panel, on the parameter node that Slicer's own module uses."""

from __future__ import annotations

from typing import Any

import slicer

SINGLETON = "SegmentEditor"
"""Tag of the node that holds the editor's settings, shared with the module Segment Editor."""

EFFECTS = [
    "Paint",
    "Erase",
    "Draw",
    "Scissors",
    "Islands",
    "Fill between slices",
    "Smoothing",
    "Margin",
    "Level tracing",
    "Grow from seeds",
    "Threshold",
    "Logical operators",
]
"""What corrections need most comes first; Slicer appends its other effects."""


class EmbeddedEditor:
    """Keeps the rules of a shared editor: it listens only while `on`, and lets go of everything."""

    def __init__(self, widget: Any):
        self._widget = widget
        self.on = False
        widget.setEffectNameOrder(EFFECTS)
        widget.setMRMLSegmentEditorNode(_shared_node())  # before the scene, as Slicer's module does
        widget.setMRMLScene(slicer.mrmlScene)

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Edit these two nodes, or nothing for None; does nothing while it is off."""
        if not self.on:
            return
        node = _shared_node()
        if self._widget.mrmlSegmentEditorNode() is not node:
            self._widget.setMRMLSegmentEditorNode(node)
        if self._widget.segmentationNode() is not segmentation:
            self._widget.setSegmentationNode(segmentation)
            node.SetOverwriteMode(node.OverwriteAllSegments)  # structures do not overlap
        if self._widget.sourceVolumeNode() is not volume:
            self._widget.setSourceVolumeNode(volume)

    def switch_on(self) -> None:
        """Take shortcuts and views; call `edit` next."""
        if not self.on:
            self.on = True
            self._widget.setMRMLSegmentEditorNode(_shared_node())
            self._widget.setupViewObservations()
            self._widget.installKeyboardShortcuts()

    def switch_off(self) -> None:
        """Give shortcuts, views and the mouse back; the shared node keeps what is edited."""
        if self.on:
            self.on = False
            self._widget.setActiveEffectByName("")
            self._widget.uninstallKeyboardShortcuts()
            self._widget.removeViewObservations()

    def let_go(self) -> None:
        """The scene is closing: keep no node of it."""
        self.switch_off()
        self._widget.setSegmentationNode(None)
        self._widget.setSourceVolumeNode(None)


def _shared_node() -> Any:
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(SINGLETON, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(SINGLETON)
        node = scene.AddNode(node)
    return node
