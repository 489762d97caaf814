"""How the worker process is started from inside Slicer."""

from __future__ import annotations

import os
import shutil
import sys

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.core_path import core_parent


def worker_command() -> list[str]:
    """Slicer's own Python, with the worker of CPS4Core."""
    python = shutil.which("PythonSlicer") or sys.executable
    if not python:
        raise CPS4Error("Slicer's Python (PythonSlicer) was not found", cure="Reinstall Slicer")
    return [python, "-m", "CPS4Core", "worker"]


def worker_environment() -> dict[str, str]:
    """As Slicer was started with, plus the folder that holds CPS4Core."""
    try:
        import slicer.util

        environment = dict(slicer.util.startupEnvironment())
    except (ImportError, AttributeError):
        environment = dict(os.environ)
    paths = [str(core_parent()), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(p for p in paths if p))
    environment["PYTHONIOENCODING"] = "utf-8"
    return environment
