"""`slicer.packaging` and the PyTorch extension's `PyTorchUtils`: they note what would be installed.

    packaging.installed      # [("pip", "scipy>=1.12"), ("torch", ">=2.6"), ...] in order
    packaging.fail_with("no network")    # the next installation fails so

Nothing is ever installed. What counts as satisfied is read from this Python's real packages.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

installed: list[tuple[str, str]] = []
_failures: list[str] = []


def fail_with(reason: str) -> None:
    """Let the next installation fail."""
    _failures.append(reason)


def clear() -> None:
    """Forget what was noted."""
    installed.clear()
    _failures.clear()


def load_requirements(path: str | os.PathLike[str]) -> list[Requirement]:
    """The requirements of a requirements.txt; comments and pip options are left out."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(req: Requirement | list[Requirement]) -> bool:
    """Whether the requirements are met (extras are not looked into here)."""
    if isinstance(req, list):
        return all(pip_check(one) for one in req)
    if req.marker is not None and not req.marker.evaluate():
        return True
    try:
        return importlib.metadata.version(req.name) in req.specifier
    except importlib.metadata.PackageNotFoundError:
        return False


def pip_ensure(
    requirements: list[Requirement],
    constraints: str | os.PathLike[str] | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Ask, then note the requirements that are not met; RuntimeError where the user declines."""
    import slicer

    missing = [req for req in requirements if not pip_check(req)]
    if not missing or skip_in_testing and slicer.app.testingEnabled():
        return None
    if prompt_install and not slicer.util.confirmOkCancelDisplay(
        f"{len(missing)} Python packages need to be installed.",
        f"{requester or 'Slicer'} - Install Python Packages",
        detailedText="\n".join(map(str, missing)),
    ):
        raise RuntimeError("User declined package installation")
    return pip_install(
        [str(req) for req in missing], constraints=constraints, skip_packages=skip_packages
    )


def pip_install(
    requirements: str | list[str],
    constraints: str | os.PathLike[str] | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent: Any = None,
    logCallback: Any = None,  # noqa: N803
    completedCallback: Any = None,  # noqa: N803
) -> list[str] | None:
    """Note the requirements; CalledProcessError after fail_with()."""
    code = 1 if _failures else 0
    lines = [_failures.pop(0)] if code else [f"Collecting {requirements}"]
    if not code:
        _note(requirements)
    if blocking:
        if code:
            raise subprocess.CalledProcessError(code, "pip install", output="\n".join(lines))
        return [] if skip_packages is not None else None
    import qt

    def finish() -> None:
        for line in lines:
            if logCallback:
                logCallback(line)
        if completedCallback:
            completedCallback(code)

    qt.QTimer.singleShot(0, finish)
    return None


def pip_uninstall(requirements: str | list[str], **_: Any) -> None:
    """Note what would be removed."""
    names = requirements.split() if isinstance(requirements, str) else requirements
    installed.extend(("uninstall", name) for name in names)


def _note(requirements: str | list[str]) -> None:
    names = requirements.split() if isinstance(requirements, str) else requirements
    installed.extend(("pip", name) for name in names)


class PyTorchUtilsLogic:
    """The logic of the PyTorch extension, noting installations."""

    @staticmethod
    def torchInstalled() -> bool:
        return pip_check(Requirement("torch"))

    def installTorch(
        self,
        askConfirmation: bool = False,  # noqa: N803
        forceComputationBackend: str | None = None,  # noqa: N803
        torchVersionRequirement: str | None = None,  # noqa: N803
        torchvisionVersionRequirement: str | None = None,  # noqa: N803
    ) -> Any:
        """Note it; None where the user declines, else something that is true, like the module."""
        import slicer

        if askConfirmation and not slicer.util.confirmOkCancelDisplay(
            "PyTorch will be downloaded and installed. The process might take some minutes."
        ):
            return None
        if _failures:
            raise subprocess.CalledProcessError(1, "light_the_torch", output=_failures.pop(0))
        installed.append(("torch", torchVersionRequirement or ""))
        return types.SimpleNamespace(__version__="0+noted")


def install() -> None:
    """Make `slicer.packaging` and `slicer.util.pip_install` lead here."""
    import slicer

    module = types.ModuleType("slicer.packaging")
    for name in ("load_requirements", "pip_check", "pip_ensure", "pip_install", "pip_uninstall"):
        setattr(module, name, globals()[name])
    sys.modules["slicer.packaging"] = slicer.packaging = module
    slicer.util.pip_install, slicer.util.pip_uninstall = pip_install, pip_uninstall


def install_pytorch_extension() -> None:
    """Add the PyTorch extension; without this call `import PyTorchUtils` fails, as without it."""
    import slicer

    from slicerharness.modules import Module

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    sys.modules["PyTorchUtils"] = module
    slicer.modules.pytorchutils = Module("PyTorchUtils")


def remove_pytorch_extension() -> None:
    """Take the PyTorch extension away again."""
    import slicer

    sys.modules.pop("PyTorchUtils", None)
    vars(slicer.modules).pop("pytorchutils", None)
