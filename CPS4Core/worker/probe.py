"""`probe`: what this machine can compute on, and which packages are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from CPS4Core.progress import Progress
from CPS4Core.requirements import installed_version, missing_requirements
from CPS4Core.worker.loaded import Loaded

MIB = 2**20


@dataclass(frozen=True)
class Arguments:
    """None."""


def run(arguments: Arguments, progress: Progress, loaded: Loaded) -> dict[str, Any]:
    """The devices, fastest first, the one that `auto` takes, versions, missing requirements.

    Result: devices [{name, title, memory_mib and free_mib (null where not known)}], default, torch
    and openvino (versions or null), missing ["torch>=2.6", ...]. Works without any package; one
    that is installed and broken counts as missing, and a message says why.
    """
    missing, torch = missing_requirements(), installed_version("torch")
    devices: list[dict[str, Any]] = []
    if torch is not None:
        try:
            devices = _gpus()
        except Exception as error:  # a broken installation can fail in any way
            progress.message(
                f"PyTorch is installed but cannot be used ({type(error).__name__}: {error}). "
                "Install it again.",
                "warning",
            )
            torch = None
            missing = missing_requirements(broken=("torch",))
    # The CPU is last: each device before it is faster. `auto` knows NVIDIA's and AMD's only.
    default = next((d["name"] for d in devices if d["name"].startswith("cuda")), "cpu")
    return {
        "devices": [*devices, _cpu()],
        "default": default,
        "torch": torch,
        "openvino": installed_version("openvino"),
        "missing": missing,
    }


def _gpus() -> list[dict[str, Any]]:
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        try:
            free = torch.cuda.mem_get_info(index)[0]
        except RuntimeError:  # another process holds it, or all of its memory
            free = None
        found.append(_device(f"cuda:{index}", properties.name, properties.total_memory, free))
    if torch.backends.mps.is_available():
        found.append(_device("mps", "Apple GPU"))
    return found


def _device(
    name: str, title: str, memory: int | None = None, free: int | None = None
) -> dict[str, Any]:
    mib = [None if size is None else size // MIB for size in (memory, free)]
    return {"name": name, "title": title, "memory_mib": mib[0], "free_mib": mib[1]}


def _cpu() -> dict[str, Any]:
    cores = os.cpu_count() or 1
    return _device("cpu", f"CPU, {cores} core{'s' if cores > 1 else ''}")
