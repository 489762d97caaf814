"""Fixtures of the tests in a Slicer-like environment (Testing/slicerharness).

It is started once, before the first test file here is imported. It changes what attribute access
on Qt objects means and what `import slicer` gives, for the whole process; the other tests use
neither. Where slicer-core, PySide6 or off-screen rendering is missing, these tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(REPOSITORY), str(REPOSITORY / "CPS4Segment")]
CURE = "Cure: run scripts/test.sh, which installs what is missing or says how"
RENDER = (
    "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1);"
    "w.AddRenderer(vtk.vtkRenderer()); w.Render(); w.GetRGBACharPixelData(0, 0, 1, 1, 0)"
)


def start() -> str:
    """Start the environment; what is missing for it, empty if nothing is."""
    # In a process of its own: VTK crashes where there is no OpenGL driver.
    if subprocess.run([sys.executable, "-c", RENDER], capture_output=True).returncode != 0:
        return "needs vtk and OpenGL without a display (Debian: libegl1 libgl1 libgl1-mesa-dri)"
    try:
        import slicerharness

        slicerharness.start()
    except ImportError as error:
        return f"needs slicer-core and PySide6: {error}"
    return ""


MISSING = start()


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    """Skip the test files unread where the environment is missing: they import qt and slicer."""
    return SkippedModule.from_parent(parent, path=module_path) if MISSING else None


class SkippedModule(pytest.Module):
    """A test file that says why it was skipped."""

    def collect(self) -> Any:
        pytest.skip(f"{MISSING}. {CURE}", allow_module_level=True)


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
    import slicerharness

    loaded = []

    def load(path: str | Path) -> Any:
        loaded.append(Path(path).stem)
        return slicerharness.load_module(path)

    yield load
    for name in loaded:
        slicerharness.unload_module(name)
