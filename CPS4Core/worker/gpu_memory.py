"""What to do where a GPU's memory does not suffice: say so and go on with the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from CPS4Core.progress import Progress

T = TypeVar("T")


def or_on_the_cpu(
    work: Callable[[str], T], device: str, forget: Callable[[], None], progress: Progress
) -> T:
    """`work(device)`; where the GPU's memory runs out, `forget()`, a warning, and `work("cpu")`."""
    try:
        return work(device)
    except Exception as error:
        if device == "cpu" or not _is_lack_of_memory(error):
            raise
    # Outside the handler, which would keep the tensors alive.
    forget()
    _release()
    progress.message("The GPU's memory does not suffice, so the CPU is used: slower", "warning")
    return work("cpu")


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether an error or one behind it is a GPU's; torch has several types of them."""
    while error is not None:
        if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
            return True
        error = error.__cause__
    return False


def _release() -> None:
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
