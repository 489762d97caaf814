"""One training on several processes (GPUs, machines), started by torchrun; nothing to do for one.

    torchrun --nproc-per-node 4 -m CPS4Core train STUDY --output RUN

Each process draws batches of its own; gradients are averaged before every update, so that all keep
the same weights and the batch is as many times larger. The first process alone writes files and
validates. Buffers (normalisation statistics) are the first one's after each epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from CPS4Core.errors import CPS4Error

T = TypeVar("T")
_SEED_STEP = 15_485_863
"""A prime far from those of `epoch_seed`, so that no two processes draw alike."""


def join_processes(device: torch.device) -> torch.device:
    """Join the processes that torchrun started; returns this one's device.

    Without torchrun nothing happens. Raises CPS4Error for more processes than GPUs.
    """
    if "RANK" not in os.environ or distributed.is_initialized():
        return device
    if device.type == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise CPS4Error(
                f"There are {there} GPUs for process {local + 1} of this machine",
                cure=f"Use torchrun --nproc-per-node {there}, or --device cpu",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave_processes() -> None:
    """End the group, where there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and validates."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()


@contextmanager
def first_then_rest() -> Iterator[None]:
    """The first process does the block, then the others, which find what it made."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


def own_seed(seed: int) -> int:
    """The seed of this process; that of the run for the first one."""
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    return seed + rank * _SEED_STEP


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes.

    A parameter that got none here counts as zero, for it may have got one elsewhere.
    """
    if count() == 1:
        return
    chosen = [p for p in parameters if p.requires_grad]
    for parameter in chosen:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    # One message for all: many small ones would wait for each other.
    flat = torch.cat([p.grad.flatten() for p in chosen if p.grad is not None])
    distributed.all_reduce(flat)
    flat /= count()
    start = 0
    for parameter in chosen:
        assert parameter.grad is not None
        size = parameter.grad.numel()
        parameter.grad.copy_(flat[start : start + size].view_as(parameter.grad))
        start += size


def any_of(mine: bool, device: torch.device) -> bool:
    """Whether it is so for any process: all must stop together, or the others wait for ever."""
    if count() == 1:
        return mine
    flag = torch.tensor(float(mine), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag.item())


def from_first(value: T | None) -> T:
    """The first process's value, in all of them; the others may give None."""
    if count() == 1:
        assert value is not None
        return value
    carried = [value]
    distributed.broadcast_object_list(carried)
    assert carried[0] is not None
    return carried[0]


def share_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers."""
    if count() > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)


def mean_of(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Named numbers averaged over the processes, which all give the same names."""
    if count() == 1:
        return values
    numbers = torch.tensor([values[name] for name in sorted(values)], device=device)
    distributed.all_reduce(numbers)
    return dict(zip(sorted(values), (numbers / count()).tolist(), strict=True))


def tensors_equal(tensors: Iterable[Tensor]) -> bool:
    """Whether all processes hold the same numbers; a check for tests and for a doubtful cluster."""
    if count() == 1:
        return True
    sums = torch.stack([t.detach().double().abs().sum().cpu() for t in tensors])
    gathered = [torch.empty_like(sums) for _ in range(count())]
    distributed.all_gather(gathered, sums)
    return all(torch.equal(other, sums) for other in gathered)
