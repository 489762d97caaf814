"""`maps`: the prompt maps of one volume; the model and what it saw in the volume stay in memory."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from CPS4Core.device import find_device
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder
from CPS4Core.inference.fingerprint import input_fingerprint
from CPS4Core.inference.models import open_model
from CPS4Core.model_folder import MAP_FILES, ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.volume import PromptMapper, VolumeMaps
from CPS4Core.volumes.reading import case_id_of, read_volume
from CPS4Core.volumes.sagittal import SagittalStack, to_sagittal
from CPS4Core.volumes.writing import write_volume
from CPS4Core.worker.gpu_memory import or_on_the_cpu
from CPS4Core.worker.loaded import Loaded, SeenVolume


@dataclass(frozen=True)
class Arguments:
    """`prompts`: in one's own words; null or none takes the model's class prompts."""

    volume: str
    output: str
    model: str | None = None
    device: str = "auto"
    prompts: list[str] | None = None
    threads: int | None = None


def run(arguments: Arguments, progress: Progress, loaded: Loaded) -> dict[str, Any]:
    """Write a map and its Otsu mask for each prompt, and the integrated map of the class prompts.

    Result: prompts [{name, prompt (the full text), map (file: uint8, 0..255 is 0..1, on the input's
    grid), binary (file: 0 and 1), thresholds [by sagittal slice, null where the mask is empty],
    peak, trained (whether stage 1 saw the class)}], the background's last; integrated (file in the
    schema's values; null for prompts of one's own), schema, slice_axis {origin_lps, direction_lps,
    spacing_mm}: a point p lies in the sagittal slice (p - origin) . direction / spacing;
    threshold_of ("activation": the map itself, or "cosine": what it is made of), encoder_weights.
    Files of other prompts in OUTPUT stay.
    """
    info = open_model(Path(arguments.model) if arguments.model else None)
    prompts = [text.strip() for text in arguments.prompts or []]
    if not all(prompts):
        raise CPS4Error("The prompt is empty", cure="Write what to look for, such as: the sacrum")
    folder = make_folder(arguments.output)
    path = Path(arguments.volume)

    def look(device: str) -> tuple[VolumeMaps, SagittalStack, PromptMapper]:
        device = str(find_device(device))
        key = (*_files_of(info), device)
        mapper = loaded.mapper.get(key, lambda: _load(info, device, progress))
        mapper.ask(prompts)

        def see() -> SeenVolume:
            stack = to_sagittal(read_volume(path))
            return SeenVolume(stack, mapper.features(stack, progress))

        seen = loaded.seen.get((*key, input_fingerprint(path)), see)
        return mapper.maps_of(seen.features), seen.stack, mapper

    def forget() -> None:
        loaded.mapper.drop()
        loaded.seen.drop()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    maps, stack, mapper = or_on_the_cpu(look, arguments.device, forget, progress)
    texts = info.schema.prompts if mapper.own_prompts else maps.names
    trained = mapper.trained.tolist() if mapper.trained is not None else [False] * len(texts)
    case = case_id_of(path)
    order = [*range(1, len(texts)), 0] if mapper.own_prompts else list(range(len(texts)))
    described = []
    for i in progress.track(order, "writing maps"):
        start = folder / f"{case}-{_file_part(maps.names[i], texts[i])}"
        described.append(
            {"name": maps.names[i], "prompt": texts[i], "trained": trained[i]}
            | _write_map(maps, i, stack, start)
        )
    integrated = None
    if mapper.own_prompts:
        integrated = folder / f"{case}-integrated.nrrd"
        write_volume(stack.restore(info.schema.to_values(maps.integrated)), integrated)
    return {
        "prompts": described,
        "integrated": None if integrated is None else str(integrated),
        "schema": info.schema.to_dict(),
        "slice_axis": stack.slice_axis,
        "threshold_of": info.config.maps.otsu_input,
        "encoder_weights": info.encoder_weights,
    }


def _load(info: ModelInfo, device: str, progress: Progress) -> PromptMapper:
    progress.message(f"Loading the prompt maps of the model {info.name}")
    return PromptMapper(info, device)


def _files_of(info: ModelInfo) -> tuple[object, ...]:
    """Changes with the part of the model that makes the maps."""
    names = ("model.json", *MAP_FILES)
    stats = [(info.folder / name).stat() for name in names if (info.folder / name).is_file()]
    return (str(info.folder.resolve()), *((s.st_size, s.st_mtime_ns) for s in stats))


def _write_map(maps: VolumeMaps, prompt: int, stack: SagittalStack, start: Path) -> dict[str, Any]:
    soft = np.round(maps.soft(prompt) * 255).astype(np.uint8)
    mask = maps.binary(prompt)
    files = {"map": Path(f"{start}-map.nrrd"), "binary": Path(f"{start}-mask.nrrd")}
    for file, array in zip(files.values(), (soft, mask), strict=True):
        write_volume(stack.restore(array), file)
    thresholds = [
        round(float(value), 4) if plane.any() else None
        for value, plane in zip(maps.thresholds[:, prompt], mask, strict=True)
    ]
    peak = round(float(maps.attention[:, prompt].max()), 4)
    return {k: str(file) for k, file in files.items()} | {"thresholds": thresholds, "peak": peak}


def _file_part(name: str, prompt: str) -> str:
    """A file name for any text; the digits tell prompts apart that look the same in it."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:32]
    return f"{plain}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"
