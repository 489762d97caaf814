"""The first `import slicer` of the process.

slicer-core's `slicer` package imports every module in any folder called "slicer" on sys.path: that
is why the module's tests do not lie in a folder of that name.
"""

from __future__ import annotations

import importlib


def import_slicer() -> None:
    """Import slicer-core; ImportError where it or a library of it is missing."""
    slicer = importlib.import_module("slicer")
    importlib.import_module("slicer.util")
    if not hasattr(slicer, "vtkMRMLScene"):  # the package "slicer" of PyPI is something else
        raise ImportError(f"the package `slicer` in {list(slicer.__path__)} is not slicer-core")


import_slicer()
