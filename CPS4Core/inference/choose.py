"""Which engine segments: a GPU if there is one, else OpenVINO if it is installed, else torch."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.engine import Engine
from CPS4Core.inference.fingerprint import model_fingerprint
from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress

ENGINES = ("auto", "torch", "openvino")


def make_engine(
    info: ModelInfo,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Load a model's network.

    `device` is auto, cpu, cuda, cuda:1, mps; `threads` limits the CPU cores. The first use of a
    model with OpenVINO converts it, which takes some seconds and is kept. Raises CPS4Error for a
    device or engine that is not there and for a damaged model.
    """
    report = (progress or Progress()).message
    fingerprint = model_fingerprint(info)  # fails here if the model has no network
    failure: CPS4Error | None = None
    if engine not in ENGINES:
        raise CPS4Error(f"No engine '{engine}'", cure=f"Known: {', '.join(ENGINES)}")
    if device == "auto":
        device = "cpu" if engine == "openvino" or not _has_usable_gpu() else "cuda"
    if engine == "openvino" and device != "cpu":
        raise CPS4Error(
            f"The engine openvino runs on the CPU, not on '{device}'", cure="Use --engine torch"
        )
    if engine == "openvino" or (engine == "auto" and device == "cpu" and find_spec("openvino")):
        from CPS4Core.inference.openvino_engine import OpenVINOEngine, find_or_make_export

        try:
            folder = find_or_make_export(info, fingerprint, report)
            return OpenVINOEngine(folder, info.config.input.size, threads)
        except CPS4Error as error:
            if engine == "openvino":
                raise
            failure = error
    from CPS4Core.inference.torch_engine import TorchEngine

    made = TorchEngine(info, device, threads, lambda text: report(text, "warning"))
    if failure is not None:
        report(f"OpenVINO is not used: {failure}", "warning")
    return made


def _has_usable_gpu() -> bool:
    """Whether torch has a GPU; torch, slow to import, is asked only where a driver is present."""
    if not _driver_is_there():
        return False
    from CPS4Core.inference.torch_engine import cuda_is_there

    return cuda_is_there()


def _driver_is_there() -> bool:
    """Whether NVIDIA's driver sees a device, or AMD's is loaded."""
    if Path("/dev/kfd").exists():
        return True
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        return (
            driver.cuInit(0) == 0
            and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
            and count.value > 0
        )
    except (OSError, AttributeError):
        return False
