"""Naming the levels of a spine jointly: one gap-free order for the whole column."""

from CPS4Core.levels.decoding import DecodedLevels, DecodedStructure, decode_levels
from CPS4Core.levels.options import DecodingOptions

__all__ = ["DecodedLevels", "DecodedStructure", "DecodingOptions", "decode_levels"]
