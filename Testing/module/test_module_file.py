"""CPS4Segment.py as Slicer reads it: its entry, its parameters, its self-test."""

from __future__ import annotations

import subprocess
import sys
import unittest
from typing import Any

import slicer
from machine import MODULE, REPOSITORY


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


def test_slicer_needs_no_further_package_to_load_it() -> None:
    """The others come later, by the panel's button, and are for the worker's process alone."""
    code = (
        f"import sys; sys.path[:0] = {[str(REPOSITORY / 'Testing')]!r}\n"
        "import slicerharness; slicerharness.start()\n"
        "import slicer, vtk, numpy, SimpleITK\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        f"slicerharness.load_module({str(MODULE)!r})\n"
        "loaded = {name.split('.')[0] for name in sys.modules} - before\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(["CPS4Core", "CPS4Segment", "CPS4SegmentLib"])
