"""What every section of the panel is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


class Section:
    """One collapsible part of the panel.

    FILE: the .ui file (without its suffix) in Resources/UI; its root is a qMRMLWidget and its
        widgets' names are unique in the whole panel.
    BUTTON: the collapsible button of the frame that it goes into.

    Widgets with the dynamic property SlicerParameterName follow the parameter node by themselves.
    """

    FILE = ""
    BUTTON = ""

    def __init__(self, panel: Panel):
        self.panel = panel
        self.ui = panel.load_section(self.FILE, self.BUTTON)
        self.button = getattr(panel.ui, self.BUTTON)

    def refresh(self) -> None:
        """Show what the scene, the parameters and the worker say; `panel.parameters` is there."""

    def enter(self) -> None:
        """The user opened the module."""

    def exit(self) -> None:
        """The user went to another module."""

    def close(self) -> None:
        """The scene or the panel closes: stop what runs and let go of nodes; may come twice."""

    def end(self) -> None:
        """The panel is taken down, after `close`: wait for what must not be lost."""
