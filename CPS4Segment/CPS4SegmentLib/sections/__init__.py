"""The sections of the panel, in the order of the work."""

from __future__ import annotations

from CPS4SegmentLib.sections.correct_section import CorrectSection
from CPS4SegmentLib.sections.maps_section import MapsSection
from CPS4SegmentLib.sections.review_section import ReviewSection
from CPS4SegmentLib.sections.section import Section
from CPS4SegmentLib.sections.segment_section import SegmentSection
from CPS4SegmentLib.sections.setup_section import SetupSection

SECTIONS: tuple[type[Section], ...] = (
    SetupSection,
    SegmentSection,
    ReviewSection,
    MapsSection,
    CorrectSection,
)
