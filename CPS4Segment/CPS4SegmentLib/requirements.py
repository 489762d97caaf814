"""Which Python packages are missing in Slicer, and how they get there; imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from typing import NamedTuple

from CPS4Core.errors import CPS4Error
from CPS4Core.requirements import FILE, installed_version, missing_requirements

REQUESTER = "CPS4 Spine Segment"
_CURE = (
    "Check the internet connection and the free disk space, look at the messages in Slicer's Python"
    " console, then press Install again"
)


class Lack(NamedTuple):
    """A package that is not there (`found` is empty), is too old, or cannot be used."""

    name: str
    wanted: str
    found: str
    broken: bool = False

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}>={self.wanted}"

    def __str__(self) -> str:
        if self.broken or not self.found:
            return f"{self.name} {self.found}".strip()
        return f"{self.name} {self.found} ({self.wanted} or newer is needed)"


class Requirements:
    """The packages that CPS4Core needs.

    lacking: what is missing, too old or broken, as of the last `check`; None before the first.
    """

    def __init__(self) -> None:
        self.lacking: list[Lack] | None = None

    def check(self, broken: Collection[str] = ()) -> list[Lack]:
        """Look what is lacking now; `broken` are packages that the worker could not import."""
        importlib.invalidate_caches()
        self.lacking = []
        for requirement in missing_requirements(broken):
            name, _, wanted = requirement.partition(">=")
            found = installed_version(name) or ""
            self.lacking.append(Lack(name, wanted, found, name in broken))
        return self.lacking

    def install(self, tell: Callable[[str], None]) -> None:
        """Install what is lacking by Slicer's own helpers; `tell` gets a line before each step.

        The caller has asked the user. Blocks until it is done; Slicer's helpers keep the window
        alive. Raises CPS4Error with the reason where something could not be installed.
        """
        lacking = self.lacking or []
        # torch first: the others would bring one that does not fit the graphics card.
        torch = [package for package in lacking if package.name == "torch"]
        others = [package for package in lacking if package.name != "torch"]
        steps = [step for step in (torch, others) if step]
        for number, step in enumerate(steps, 1):
            what = "PyTorch" if step is torch else f"{len(step)} packages"
            what = what if len(step) > 1 or step is torch else step[0].name
            tell(f"Step {number} of {len(steps)}: installing {what}. This takes some minutes...")
            try:
                if step is torch:
                    _install_torch(step[0])
                else:
                    _install(step)
            except CPS4Error:
                raise
            except Exception as error:  # pip's helpers raise whatever they like
                reason = _last_line(error)
                raise CPS4Error(f"{what} could not be installed ({reason})", cure=_CURE) from error
        still = self.check()
        if still:
            raise CPS4Error(
                f"The installation ended, but not everything is there. {describe(still)}",
                cure="Restart Slicer; if this comes again, press Install again",
            )


def describe(lacking: list[Lack], most: int | None = None) -> str:
    """A line for the user; of each kind `most` packages are named, the others counted."""
    kinds = {
        "Missing": [p for p in lacking if not (p.found or p.broken)],
        "Too old": [p for p in lacking if p.found and not p.broken],
        "Cannot be used": [p for p in lacking if p.broken],
    }
    parts = [f"{kind}: {_list(packages, most)}." for kind, packages in kinds.items() if packages]
    return " ".join(parts) or "All packages are installed."


def _list(packages: list[Lack], most: int | None) -> str:
    shown = packages[:most]
    more = f" and {len(packages) - len(shown)} more" if len(shown) < len(packages) else ""
    return ", ".join(map(str, shown)) + more


def _install_torch(torch: Lack) -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise CPS4Error(
            "Slicer's extension PyTorch is missing",
            cure="Install PyTorch in the Extensions Manager, restart Slicer, press Install again",
        ) from None
    logic = PyTorchUtils.PyTorchUtilsLogic()
    logic.installTorch(askConfirmation=False, torchVersionRequirement=f">={torch.wanted}")


def _install(packages: list[Lack]) -> None:
    try:
        from slicer.packaging import load_requirements, pip_ensure
    except ImportError:  # Slicer before 5.12
        import slicer.util

        slicer.util.pip_install([package.requirement for package in packages])
        return
    # Only these: what Slicer brings without saying its version would be installed a second time.
    names = {package.name for package in packages}
    wanted = [requirement for requirement in load_requirements(FILE) if requirement.name in names]
    pip_ensure(wanted, prompt_install=False, requester=REQUESTER)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1][:300] if lines else type(error).__name__
