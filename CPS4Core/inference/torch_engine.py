"""The network on torch: any CPU, NVIDIA GPUs, Apple's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from CPS4Core.device import choose_precision, find_device
from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo, load_network

_SLICES_AT_ONCE = 8  # on a GPU; halved where its memory does not hold them


class TorchEngine:
    """Eager torch in inference mode, channels last, 16-bit where the hardware computes in it.

    `device` as torch names it. `report` takes messages for the user. A GPU whose memory runs out
    gets fewer slices at a time; if one slice is too many the CPU takes over.
    """

    def __init__(
        self,
        info: ModelInfo,
        device: str = "cpu",
        threads: int | None = None,
        report: Callable[[str], None] = lambda text: None,
    ):
        if threads:
            torch.set_num_threads(threads)
        self._network = load_network(info)
        self._report = report
        self._use(find_device(device))

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        """One slice [h, w] float32 in 0..1 -> softmax [K, h, w] float32."""
        return self._run(torch.from_numpy(np.ascontiguousarray(working[None])))[0]

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        """Softmax [K, h, w] of each slice of [S, h, w] uint8."""
        start = 0
        while start < len(working):
            part = torch.from_numpy(working[start : start + self._at_once])
            try:
                softmax = self._run(part)
            except torch.OutOfMemoryError:
                softmax = None
            if softmax is None:  # outside the handler, which would keep the tensors alive
                self._need_less_memory()
                continue
            yield from softmax
            start += len(part)

    @torch.inference_mode()
    def _run(self, part: torch.Tensor) -> np.ndarray:
        """[B, h, w], float32 in 0..1 or uint8 -> softmax [B, K, h, w]."""
        batch = part[:, None].to(self._device)
        if batch.dtype == torch.uint8:
            batch = batch.float() / 255
        with self._precision.autocast():
            logits = self._network(batch.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1).cpu().numpy()

    def _use(self, device: torch.device) -> None:
        self._device = device
        self._network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Batches do not pay on a CPU: one slice fits its caches better and needs less memory.
        self._at_once = 1 if device.type == "cpu" else _SLICES_AT_ONCE
        self._precision = choose_precision(device, "auto")
        dtype = self._precision.dtype or torch.float32
        self.name = f"torch, {device}, {str(dtype).removeprefix('torch.')}"

    def _need_less_memory(self) -> None:
        if self._device.type == "cpu":
            raise CPS4Error(
                "The memory does not hold one slice at this size", cure="Close other programs"
            )
        if self._at_once > 1:
            self._at_once //= 2
        else:
            self._report(f"The memory of {self._device} does not hold one slice; using the CPU")
            self._use(torch.device("cpu"))
        torch.cuda.empty_cache()


def cuda_is_there() -> bool:
    """Whether torch can use an NVIDIA or AMD GPU."""
    return torch.cuda.is_available()
