"""CPS4Segment.py as Slicer reads it: its entry, its parameters, its self-test."""

from __future__ import annotations

import unittest
from typing import Any

import slicer
from machine import MODULE


def test_parameters_are_annotated_with_types(load_module: Any) -> None:
    """Slicer reads them while the file is being loaded; names in strings may be unknown then."""
    module, _ = load_module(MODULE)
    annotations = module.CPS4SegmentParameterNode.__annotations__
    assert annotations
    assert not [name for name, kind in annotations.items() if isinstance(kind, str)]


def test_the_modules_it_depends_on_are_slicers(load_module: Any) -> None:
    load_module(MODULE)
    needed = slicer.modules.cps4segment.dependencies
    assert {"Segmentations", "Terminologies"} <= set(needed)
    assert all(slicer.util.getModule(name) for name in needed)


def test_unittest_finds_each_self_test_once(load_module: Any) -> None:
    """As the tests of a build look for them (`slicer_add_python_unittest`)."""
    module, _ = load_module(MODULE)
    suite = unittest.TestLoader().loadTestsFromModule(module)
    found = [test.id() for group in suite for test in group]
    assert found and {i.split(".")[-2] for i in found} == {"CPS4SegmentTest"}
    assert len(found) == len(set(found))
