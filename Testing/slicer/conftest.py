"""Fixtures of the tests in a Slicer-like environment (Testing/slicerharness).

The environment changes what attribute access on Qt objects means and what `import slicer` gives,
for the whole process. The other tests use neither; these are skipped where slicer-core, PySide6 or
a shared library of theirs is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(REPOSITORY)]

try:
    import slicerharness

    slicerharness.start()
except (ImportError, OSError) as error:
    MISSING = f"needs the Slicer-like environment: {error}. Cure: run scripts/setup.sh"
    collect_ignore_glob = ["test_*.py"]
else:
    MISSING = ""


@pytest.fixture(autouse=True)
def clean_scene() -> Iterator[None]:
    """An empty scene, no dialogs, and no error in a slot may go unseen."""
    import slicer
    from slicerharness import dialogs, packaging, signals

    slicer.mrmlScene.Clear(0)
    dialogs.clear()
    packaging.clear()
    signals.slot_errors.clear()
    yield
    slicer.app.processEvents()
    errors, unused = list(signals.slot_errors), dialogs.unused()
    slicer.mrmlScene.Clear(0)
    assert not errors, "an exception left a slot:\n" + "\n".join(errors)
    assert not unused, f"answers that no dialog asked for: {unused}"


@pytest.fixture
def load_module() -> Iterator[Any]:
    """load_module(path) -> (Python module, widget); the module is unloaded after the test."""
    loaded = []

    def load(path: str | Path) -> Any:
        loaded.append(Path(path).stem)
        return slicerharness.load_module(path)

    yield load
    for name in loaded:
        slicerharness.unload_module(name)
