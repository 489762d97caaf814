"""The whole way of a user through the panel, with the real worker: used by a test and by the
command that makes the pictures of the documentation."""

from __future__ import annotations

from CPS4SegmentLib.panel_user import PanelUser
from CPS4SegmentLib.structures import center
from slicerharness import painting


class Walkthrough(PanelUser):
    """Paints with a brush, too."""

    def paint(self, name: str, radius_mm: float = 4.0) -> None:
        """Add a ball to a structure at its middle, as the brush does."""
        self.open("correct")
        segment = self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        assert segment, f"there is no {name}"
        middle = center(self.segmentation, segment)
        painting.paint(self.ui.segmentEditor, segment, middle, radius_mm)
