"""What the module CPS4 Spine Segment is made of; importing it makes CPS4Core importable too."""

from CPS4SegmentLib.core_path import add_core

add_core()
