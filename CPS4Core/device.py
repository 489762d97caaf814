"""On which device and in which precision networks run."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from CPS4Core.errors import CPS4Error

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def cpu_has_bf16() -> bool:
    """Whether this CPU computes bf16 in hardware (elsewhere it is slower than fp32)."""
    # torch's own checks have no public name, and other builds may lack them.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def find_device(name: str) -> torch.device:
    """`auto` is a GPU if there is one; raises CPS4Error for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CPS4Error(
            f"The device '{name}' cannot be used ({str(error).splitlines()[0]})",
            cure="Choose auto or cpu; cps4 info shows what this machine has",
        ) from error
    return device


@dataclass
class Precision:
    """The number format of the forward pass; weights stay fp32."""

    device: torch.device
    dtype: torch.dtype | None

    def autocast(self) -> AbstractContextManager[object]:
        """A context for forward passes."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales fp16 gradients; does nothing for other formats."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)


def choose_precision(device: torch.device, name: str) -> Precision:
    """`auto`: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU."""
    if name == "auto":
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        else:
            name = "bf16" if device.type == "cpu" and cpu_has_bf16() else "fp32"
    formats = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in formats:
        raise CPS4Error(f"No precision '{name}'", cure=f"Known: {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise CPS4Error("fp16 needs a GPU", cure="Use --precision auto")
    return Precision(device, formats[name])
