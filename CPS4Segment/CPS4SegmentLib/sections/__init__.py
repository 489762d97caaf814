"""The sections of the panel, in the order of the work."""

from __future__ import annotations

from CPS4SegmentLib.sections.section import Section

SECTIONS: tuple[type[Section], ...] = ()
