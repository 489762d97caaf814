"""Which Python packages are needed (requirements.txt beside this file), and which of them lack.

Imports nothing but the standard library: it is asked before anything is installed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

FILE = Path(__file__).with_name("requirements.txt")
_MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}
"""Packages that are imported by another name."""


def requirements() -> list[str]:
    """The needed packages, such as `torch>=2.6`."""
    lines = (line.strip() for line in FILE.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def missing_requirements(broken: Collection[str] = ()) -> list[str]:
    """Those that are not installed, too old, or among the packages known to be `broken`."""
    return [r for r in requirements() if r.partition(">=")[0] in broken or not _is_met(r)]


def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed or does not say."""
    if not _can_be_found(package):
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement: str) -> bool:
    package, _, least = requirement.partition(">=")
    if not _can_be_found(package):
        return False
    found = installed_version(package)
    # A package built into Slicer may come without a version; it counts as it is.
    return found is None or _release(found) >= _release(least)


def _can_be_found(package: str) -> bool:
    try:
        return find_spec(_MODULES.get(package, package)) is not None
    except (ImportError, ValueError):
        return False


def _release(version: str) -> tuple[int, ...]:
    """The numbers that lead a version: 2.13.0 of `2.13.0+cpu`, without zeros at the end."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
