"""Prompt maps of many volumes to files, case by case; a bad case does not stop the rest.

OUTPUT/CASE.png                  the maps of the most informative slice, with thresholds
OUTPUT/CASE.json                 thresholds and peaks per prompt; written last: the case is finished
OUTPUT/integrated/CASE.nii.gz    the integrated map as a label map (the model's own prompts only)
OUTPUT/soft/CASE_NAME.nii.gz     soft maps as 8-bit volumes (0..255 is 0..1), where asked for
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, write_json
from CPS4Core.inference.models import open_model
from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.volume import PromptMapper, VolumeMaps
from CPS4Core.volumes.sagittal import SagittalStack, to_sagittal


def map_volumes(
    inputs: Sequence[Path],
    output: Path,
    model: Path | None,
    prompts: Sequence[str] | None = None,
    classes: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    pictures: bool = True,
) -> int:
    """Map every volume found in `inputs`; returns 0 if all went well, 1 if a case failed.

    `classes` names the soft maps to save as volumes: comma-separated, `all`, or nothing.
    `pictures`: whether each case gets one.
    """
    from CPS4Core.volumes.reading import find_inputs

    info, found = open_model(model), find_inputs(list(inputs))
    return map_cases(
        found, output, info, prompts, classes, device, overwrite, threads, progress, pictures
    )


def map_cases(
    cases: Sequence[tuple[str, Path]],
    output: Path,
    info: ModelInfo,
    prompts: Sequence[str] | None = None,
    classes: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    pictures: bool = True,
) -> int:
    """The same for the volumes of (case id, path)."""
    import torch

    progress = progress or Progress()
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    mapper = PromptMapper(info, device, prompts)
    wanted = _chosen(mapper.names, classes)
    make_folder(output)
    failed: list[str] = []
    for case_id, path in progress.track(cases, "prompt maps"):
        if (output / f"{case_id}.json").is_file() and not overwrite:
            progress.message(f"{case_id}: finished before, skipped (--overwrite makes it again)")
            continue
        try:
            _map_case(case_id, path, output, info, mapper, wanted, pictures, progress)
        except CPS4Error as error:
            failed.append(case_id)
            progress.message(f"{case_id}: {error}", "error")
    progress.message(f"{len(cases) - len(failed)} of {len(cases)} cases have maps in {output}")
    return 1 if failed else 0


def _chosen(names: Sequence[str], classes: str | None) -> list[int]:
    if not classes or classes == "none":
        return []
    if classes == "all":
        return list(range(len(names)))
    wanted = [c.strip() for c in classes.split(",")]
    unknown = [c for c in wanted if c not in names]
    if unknown:
        raise CPS4Error(f"No prompt named {', '.join(unknown)}", cure=f"Known: {', '.join(names)}")
    return [names.index(c) for c in wanted]


def _map_case(
    case_id: str,
    path: Path,
    output: Path,
    info: ModelInfo,
    mapper: PromptMapper,
    wanted: Sequence[int],
    pictures: bool,
    progress: Progress,
) -> None:
    from CPS4Core.volumes.reading import read_volume
    from CPS4Core.volumes.writing import write_volume

    stack = to_sagittal(read_volume(path))
    maps = mapper.maps(stack, progress)
    if mapper.own_prompts:
        labels = info.schema.to_values(maps.integrated)
        write_volume(stack.restore(labels), output / "integrated" / f"{case_id}.nii.gz")
    for prompt in wanted:
        name = re.sub(r"[^A-Za-z0-9]+", "-", maps.names[prompt]).strip("-")
        volume = np.round(maps.soft(prompt) * 255).astype(np.uint8)
        write_volume(stack.restore(volume), output / "soft" / f"{case_id}_{name}.nii.gz")
    shown = int((maps.working_integrated > 0).sum(axis=(1, 2)).argmax())
    if pictures:
        _picture(stack, maps, shown, info, mapper.own_prompts, output / f"{case_id}.png")
    peaks = maps.attention.max(axis=(0, 2, 3))
    write_json(
        output / f"{case_id}.json",
        {
            "case": case_id,
            "encoder_weights": info.encoder_weights,
            "slice_shown": shown,
            "prompts": [
                {
                    "name": name,
                    "peak": round(float(peaks[i]), 4),
                    "threshold": [round(float(t), 4) for t in maps.thresholds[:, i]],
                }
                for i, name in enumerate(maps.names)
            ],
        },
    )


def _picture(
    stack: SagittalStack, maps: VolumeMaps, shown: int, info: ModelInfo, own: bool, path: Path
) -> None:
    from CPS4Core.report.prompt_map_picture import prompt_map_picture
    from CPS4Core.slices.grid import working_slices

    prompt_map_picture(
        working_slices(stack.array[shown : shown + 1], maps.grid)[0],
        maps.working_soft(shown),
        maps.thresholds[shown],
        maps.working_integrated[shown] if own else None,
        info.schema,
        path,
        names=maps.names,
    )
