"""A trained model as one would pass it on: no checkpoints, no paths, no larger than it need be."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.config import Config
from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import (
    MAP_FILES,
    ModelInfo,
    load_network,
    load_weights,
    new_model_folder,
    read_model,
    save_tensors,
    write_description,
)
from CPS4Core.progress import Progress

if TYPE_CHECKING:
    import SimpleITK as sitk

MEGABYTE = 1_000_000
HALVED = ("network.safetensors", "vision_language.safetensors")
TEXT_ENCODER, MADE_AGAIN = "text_encoder", "openvino"
TOLERANCE = 1e-3
CHECK_PHANTOMS = 3


@dataclass(frozen=True)
class Export:
    """What was written: its size in bytes and, for float16, the share of the structures' pixels
    that get another class than with the original weights (None where nothing was halved)."""

    info: ModelInfo
    size: int
    changed: float | None


def export_model(
    source: ModelInfo,
    output: Path,
    *,
    half: bool = False,
    text_encoder: bool = True,
    maps: bool = True,
    limit: float | None = None,
    check: Sequence[Path] = (),
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Export:
    """Copy a model to `output`, whose name becomes the model's; an older one there is replaced.

    Parameters
    ----------
    half: store weight matrices as float16; all else stays float32. The classes of all pixels of
        `check` (volumes; phantoms where none is given) are compared with the original's.
    text_encoder: keep what reads new prompts. maps: keep what shows prompt maps.
    limit: largest size in MB (10^6 bytes).
    tolerance: largest share of changed pixels among those that either network calls a structure.

    Raises CPS4Error, and writes nothing, where the model is too large, changes its classes, or
    where its description would tell a path of this machine.
    """
    progress = progress or Progress()
    if output.resolve() == source.folder.resolve():
        raise CPS4Error(
            "A model cannot be exported onto itself", path=output, cure="Choose another folder"
        )
    left_out = {"model.json"} | (set() if maps else {*MAP_FILES, TEXT_ENCODER})
    left_out |= set() if text_encoder else {TEXT_ENCODER}
    info = replace(
        source,
        folder=output,
        config=_without_paths(source.config),
        provenance=source.provenance | {"weights": "float16" if half else "float32"},
    )
    with new_model_folder(output) as target:
        for path in sorted(source.folder.iterdir()):
            if path.name in left_out or path.name == MADE_AGAIN or path.name.startswith("."):
                continue
            if path.is_dir():
                shutil.copytree(path, target / path.name)
            elif half and path.name in HALVED:
                _halve(path, target / path.name)
            else:
                shutil.copyfile(path, target / path.name)
        write_description(target, info)
        for path in target.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # others must be able to read it
        _tell_no_paths(target, source)
        size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
        if limit is not None and size > limit * MEGABYTE:
            raise CPS4Error(
                f"The model takes {size / MEGABYTE:.1f} MB, more than {limit:g} MB",
                path=source.folder,
                cure="Store it as float16, or leave out the text encoder or the prompt maps",
            )
        changed = None
        if half and (target / HALVED[0]).is_file():
            changed = _changed_share(source, read_model(target), check, progress)
            progress.message(f"float16 changes the class of {changed:.2e} of the pixels")
            if changed > tolerance:
                raise CPS4Error(
                    f"As float16 the model changes the class of {changed:.2e} of the pixels, more "
                    f"than {tolerance:g}",
                    path=source.folder,
                    cure="Keep float32, or leave out other parts of the model",
                )
    return Export(read_model(output), size, changed)


def _halve(source: Path, target: Path) -> None:
    """Weight matrices as float16: they are the size; norms and biases are few and matter more."""
    save_tensors(
        {
            name: tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor
            for name, tensor in load_weights(source).items()
        },
        target,
    )


def _without_paths(config: Config) -> Config:
    """Encoders named by a local file or folder keep the architecture's and the folder's name."""
    options = config.vision_language
    vision = options.vision.model_copy(update={"name": options.vision.name.partition("@")[0]})
    text = options.text.model_copy(update={"name": Path(options.text.name).name})
    if options.text.kind == "transformers" and not Path(options.text.name).is_absolute():
        text = options.text  # a name of the hub has a slash too
    language = options.model_copy(update={"vision": vision, "text": text})
    return config.model_copy(update={"vision_language": language})


def _tell_no_paths(folder: Path, source: ModelInfo) -> None:
    """A model that is passed on says nothing about the machine that made it."""
    known = {str(Path.home()), str(source.folder.resolve().parent)} - {"/", "."}
    for path in folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        told = [part for part in known if part in text]
        if told:
            raise CPS4Error(
                f"{path.name} names the folder {told[0]} of this machine",
                path=source.folder,
                cure="Correct the file before the model is passed on",
            )


def _changed_share(
    before: ModelInfo, after: ModelInfo, check: Sequence[Path], progress: Progress
) -> float:
    import torch

    from CPS4Core.slices.grid import make_grid, working_slices
    from CPS4Core.volumes.sagittal import to_sagittal

    # In float32, whatever the hardware prefers: its rounding would drown that of the weights.
    networks = [load_network(info) for info in (before, after)]
    changed = structure = 0
    for volume in progress.track(list(_volumes(check)), "comparing float16"):
        stack = to_sagittal(volume)
        grid = make_grid(stack.array.shape[1:], stack.spacing[1:], before.config.input)
        working = np.round(working_slices(stack.array, grid) * 255).astype(np.uint8)
        for plane in working:
            image = torch.from_numpy(plane)[None, None].float() / 255
            with torch.inference_mode():
                first, second = (network(image).argmax(dim=1) for network in networks)
            changed += int((first != second).sum())
            structure += int(((first > 0) | (second > 0)).sum())
    return changed / max(1, structure)


def _volumes(paths: Sequence[Path]) -> list[sitk.Image]:
    if paths:
        from CPS4Core.volumes.reading import read_volume

        return [read_volume(path) for path in paths]
    from CPS4Core.phantom import make_phantom

    return [make_phantom(seed, size=320)[0] for seed in range(CHECK_PHANTOMS)]
