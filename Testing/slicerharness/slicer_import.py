"""The first `import slicer` of the process.

slicer-core's `slicer` package imports every module that it finds in a folder called "slicer" on
sys.path. Our tests live in such a folder (Testing/slicer), and they are not meant.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]


def import_slicer() -> None:
    """Import slicer-core, and only it; ImportError where it or a library of it is missing."""
    found = sys.path
    sys.path = [entry for entry in found if Path(entry).resolve() != _TESTING]
    try:
        slicer = importlib.import_module("slicer")
        importlib.import_module("slicer.util")
    finally:
        sys.path = found
    if not hasattr(slicer, "vtkMRMLScene"):  # the package "slicer" of PyPI is something else
        raise ImportError(f"the package `slicer` in {list(slicer.__path__)} is not slicer-core")


import_slicer()
