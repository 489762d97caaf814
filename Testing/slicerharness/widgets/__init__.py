"""The qMRML* and ctk* widgets as small real Qt widgets on the real scene.

Public names are those of the real C++ classes as PythonQt shows them, and no others.
"""

from __future__ import annotations

import importlib
import pkgutil


def import_all() -> None:
    """Import every widget file, so that its classes are in the registry."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
