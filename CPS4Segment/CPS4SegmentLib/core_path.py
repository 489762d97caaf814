"""Makes CPS4Core importable where the extension runs from a source checkout.

In a build or install tree CPS4Core lies beside this folder, on Slicer's own path. In a checkout
that was added with --additional-module-paths it lies one folder above the module's.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def core_parent() -> Path:
    """The folder that holds CPS4Core; raises ImportError where there is none."""
    found = find_spec("CPS4Core")
    if found is not None and found.origin:
        return Path(found.origin).resolve().parents[1]
    if (CHECKOUT / "CPS4Core" / "__init__.py").is_file():
        return CHECKOUT
    raise ImportError(
        f"CPS4Core is neither installed nor in {CHECKOUT}. Install the extension CPS4 Spine "
        "Segment again, or add the whole checkout and not the module's folder alone."
    )


def add_core() -> None:
    """Put CPS4Core's folder at the end of the path, where it is not found already."""
    folder = core_parent()
    if find_spec("CPS4Core") is None:
        sys.path.append(str(folder))
