"""A volume and a model that are made on the spot, so that a benchmark needs no data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.config import load_config
from CPS4Core.model_folder import (
    ModelInfo,
    make_network,
    new_model_folder,
    read_model,
    save_tensors,
    write_description,
)
from CPS4Core.schema import built_in_schema

if TYPE_CHECKING:
    import SimpleITK as sitk

VIEW_MM, SLICE_MM = 340.0, 4.4
FOREGROUND = 0.1  # share of labelled pixels, as in a sagittal slice of a spine


def made_volume(slices: int, size: int) -> sitk.Image:
    """A sagittal 16-bit volume of `slices` x `size` x `size`: noise with a column of blocks."""
    import SimpleITK as sitk

    random = np.random.default_rng(0)
    array = random.integers(0, 60, (slices, size, size), dtype=np.int16)
    middle = slice(size * 2 // 5, size * 3 // 5)
    for block in range(10):
        top = size * block // 10
        array[:, top : top + size // 13, middle] += np.int16(250)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((VIEW_MM / size, VIEW_MM / size, SLICE_MM))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    return image


def write_random_model(folder: Path, size: tuple[int, int], widths: Sequence[int]) -> ModelInfo:
    """A model folder with the paper's network, random weights and images of `size` (rows, columns).

    Fewer columns than rows keep the middle part of a square volume. The head is scaled so that the
    labels cover about as much of a slice as a spine does; what comes after the network costs then
    what it costs in use.
    """
    import torch

    overrides = [
        f"input.size={list(size)}",
        "input.fit=stretch",
        f"input.ap_fraction={min(1.0, size[1] / size[0])}",
        f"network.widths={list(widths)}",
    ]
    config, schema = load_config("paper", overrides), built_in_schema("mrspineseg")
    torch.manual_seed(0)
    network = make_network(config, schema).eval()
    with torch.inference_mode():
        import SimpleITK as sitk

        plane = sitk.GetArrayFromImage(made_volume(1, 256)).astype(np.float32) / 310
        logits = network(torch.from_numpy(plane)[None])
        scale = 3 / logits.std()
        lead = scale * (logits[:, 1:].amax(dim=1) - logits[:, 0]).flatten()
        tensors = dict(network.state_dict())
        tensors["head.weight"] *= scale
        tensors["head.bias"] *= scale
        tensors["head.bias"][0] += lead.quantile(1 - FOREGROUND)
    info = ModelInfo(folder, config, schema, "benchmark", "random weights")
    with new_model_folder(folder) as target:
        save_tensors(tensors, target / "network.safetensors")
        write_description(target, info)
    return read_model(folder)
