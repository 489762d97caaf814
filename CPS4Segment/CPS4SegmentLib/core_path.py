"""Where CPS4Core is, for this process and for children that run its commands.

In a build or install tree CPS4Core lies beside this folder, on Slicer's own path. In a checkout
that was added with --additional-module-paths it lies one folder above the module's.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1]


def core_parent() -> Path:
    """The folder that holds CPS4Core; raises ImportError where there is none.

    The one that came with this module comes before another that is installed in Slicer's Python,
    maybe of another version.
    """
    for folder in (MODULE, MODULE.parent):
        if (folder / "CPS4Core" / "__init__.py").is_file():
            return folder
    found = find_spec("CPS4Core")
    if found is not None and found.origin:
        return Path(found.origin).resolve().parents[1]
    raise ImportError(
        f"CPS4Core is neither installed nor in {MODULE.parent}. Install the extension CPS4 Spine "
        "Segment again, or add the whole checkout and not the module's folder alone."
    )


def add_core() -> None:
    """Put CPS4Core's folder on the path, unless it is found there already."""
    folder = core_parent()
    found = find_spec("CPS4Core")
    if found is None or Path(found.origin or "").resolve().parents[1] != folder:
        sys.path.insert(0, str(folder))


def core_command() -> list[str]:
    """How a child process runs CPS4Core's commands: Slicer's own Python, else this one."""
    return [shutil.which("PythonSlicer") or sys.executable, "-m", "CPS4Core"]


def core_environment() -> dict[str, str]:
    """The environment of such a child: this process's, as Slicer itself does it, and CPS4Core."""
    paths = [str(core_parent()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in paths if path)),
        # A folder CPS4Core where the user happens to stand must not come first (Python 3.11 on).
        "PYTHONSAFEPATH": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }
