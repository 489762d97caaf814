"""A Slicer-like environment for scripted modules, on slicer-core (real MRML) and PySide6.

    import slicerharness
    slicerharness.start()
    module, widget = slicerharness.load_module("CPS4Segment/CPS4Segment.py")

README.md beside this file says what it gives and what it cannot show.
"""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded for the first time

from slicerharness import slicer_import  # noqa: E402, F401
from slicerharness.modules import load_module, unload_module  # noqa: E402
from slicerharness.start import start  # noqa: E402

__all__ = ["load_module", "start", "unload_module"]
