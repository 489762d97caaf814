"""Times within one process. Variants take turns, because a machine's speed drifts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np
import SimpleITK as sitk
import torch

from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.engine import Engine
from CPS4Core.inference.predictor import Predictor
from CPS4Core.model_folder import ModelInfo, load_network, make_network
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.integration import prompt_maps

BASELINE = "torch eager, cpu, float32"


class EagerEngine:
    """The network as it is, in float32: what the others are compared with."""

    name = BASELINE

    def __init__(self, info: ModelInfo):
        self._network = load_network(info)

    @torch.no_grad()
    def probabilities(self, working: np.ndarray) -> np.ndarray:
        """[h, w] -> softmax [K, h, w]."""
        return self._network(torch.from_numpy(working)[None, None]).softmax(dim=1)[0].numpy()

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        """[S, h, w] uint8 -> softmax of each slice."""
        return (self.probabilities(image.astype(np.float32) / 255) for image in working)


def engines_here(info: ModelInfo, device: str, threads: int | None, baseline: bool) -> list[Engine]:
    """The baseline if wanted, torch and OpenVINO on the CPU, and `device` where that is a GPU."""
    if threads:
        torch.set_num_threads(threads)
    engines: list[Engine] = [EagerEngine(info)] if baseline else []
    engines.append(make_engine(info, "cpu", "torch", threads))
    if find_spec("openvino"):
        engines.append(make_engine(info, "cpu", "openvino", threads))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu":
        engines.append(make_engine(info, device, "torch", threads))
    return engines


def resident_seconds(
    info: ModelInfo,
    engines: Sequence[Engine],
    image: sitk.Image,
    repeats: int,
    progress: Progress,
) -> dict[str, float]:
    """Seconds from a volume in memory to its label map, by engine: the best of some repeats."""
    for engine in engines:  # memory and kernels are set up once
        engine.probabilities(np.zeros(info.config.input.size, np.float32))

    def predict(engine: Engine) -> Callable[[], object]:
        return lambda: Predictor(info, engine).predict(image, progress)

    return best_of({e.name: predict(e) for e in engines}, repeats, progress)


def gigaflop(info: ModelInfo, slices: int) -> float:
    """Work of the network on a volume: 10^9 multiplications and additions."""
    from torch.utils.flop_counter import FlopCounterMode

    # Work grows with the pixels, so a small image tells.
    network, side = load_network(info), 64
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, side, side))
    rows, columns = info.config.input.size
    return counter.get_total_flops() / 1e9 * slices * rows * columns / side**2


def training_step_seconds(
    info: ModelInfo, size: int, batch: int, repeats: int, progress: Progress
) -> dict[str, float]:
    """Seconds of one supervised step by number format: `fp32`, and this CPU's fast one."""
    from CPS4Core.device import Precision, choose_precision

    cpu = torch.device("cpu")
    fast = choose_precision(cpu, "auto")
    formats = {"fp32": (Precision(cpu, None), torch.contiguous_format)}
    if fast.dtype is not None:
        name = f"{str(fast.dtype).removeprefix('torch.')}, channels last"
        formats[name] = (fast, torch.channels_last)
    images = torch.rand(batch, 1, size, size)
    labels = torch.randint(0, info.schema.class_count, (batch, size, size))

    def step(precision: Precision, layout: torch.memory_format) -> Callable[[], object]:
        network = make_network(info.config, info.schema).train()
        network.to(memory_format=layout)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

        def run() -> None:
            optimiser.zero_grad()
            with precision.autocast():
                loss = torch.nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimiser.step()

        return run

    steps = {name: step(*made) for name, made in formats.items()}
    for run in steps.values():
        run()
    return best_of(steps, repeats, progress)


def prompt_maps_cpu_seconds(info: ModelInfo, slices: int) -> float:
    """CPU seconds of all that follows the encoder: up-sampling, Otsu and integration."""
    patch = info.config.vision_language.vision.patch
    grid = [max(1, side // patch) for side in info.config.input.size]
    torch.manual_seed(0)
    attention = torch.rand(slices, 1, info.schema.class_count, *grid)
    began = time.process_time()
    with torch.inference_mode():
        for maps in attention:
            prompt_maps(maps, maps, info.config.input.size, info.config.maps)
    return time.process_time() - began


def decoding_seconds(slices: int, size: tuple[int, int], repeats: int) -> float:
    """CPU seconds of naming the levels of a phantom's labels at the working size, decoded jointly.

    The labels stand in for a network's output, with every tenth of the probability elsewhere.
    """
    from CPS4Core.levels import decode_levels
    from CPS4Core.phantom.make import make_phantom
    from CPS4Core.schema import built_in_schema
    from CPS4Core.volumes.sagittal import to_sagittal

    schema = built_in_schema("mrspineseg")
    stack = to_sagittal(make_phantom(0, size, slices, schema, sacrum_visible=True)[1])
    rest = 0.1 / schema.class_count
    sharp = np.eye(schema.class_count, dtype=np.float32) * np.float32(0.9) + np.float32(rest)
    maps = np.moveaxis(sharp[schema.to_indices(stack.array)], -1, 1).copy()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        decode_levels(maps, stack.spacing, schema)
        seconds.append(time.process_time() - began)
    return min(seconds)


def best_of(
    work: dict[str, Callable[[], object]], repeats: int, progress: Progress
) -> dict[str, float]:
    """The shortest time in seconds of each kind of work, all of them done in turns."""
    best = dict.fromkeys(work, float("inf"))
    for _ in range(repeats):
        for name, run in work.items():
            progress.check()
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    return best
