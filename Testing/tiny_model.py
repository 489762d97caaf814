"""A model small enough for tests, whose labels follow the intensity and can be foretold."""

from __future__ import annotations

from pathlib import Path

import torch

from CPS4Core.config import load_config
from CPS4Core.model_folder import (
    ModelInfo,
    make_network,
    new_model_folder,
    read_model,
    save_tensors,
    write_description,
)
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import built_in_schema

BRIGHT, BRIGHTEST = "L4", "L5"
"""What the model calls pixels 1 and 3 standard deviations above their slice's mean."""


def write_tiny_model(folder: Path, seed: int | None = None, *overrides: str) -> ModelInfo:
    """A model folder: by intensity, or with random weights where a seed is given."""
    config = load_config(
        "paper",
        ["network.widths=[4,8,8]", "input.size=[64,48]", "input.fit=pad", "input.ap_fraction=1"]
        + list(overrides),
    )
    schema = built_in_schema("mrspineseg")
    network = make_network(config, schema)
    if seed is None:
        _label_by_intensity(network, schema.index_of(BRIGHT), schema.index_of(BRIGHTEST))
    else:
        _randomise(network, seed)
    info = ModelInfo(folder, config, schema, "mean-teacher", "no encoders used")
    with new_model_folder(folder) as target:
        save_tensors(dict(network.state_dict()), target / "network.safetensors")
        write_description(target, info)
    return read_model(folder)


@torch.no_grad()
def _label_by_intensity(network: ResUNet, bright: int, brightest: int) -> None:
    """Pass the z-scored image through the first channel to the head, everything else 0."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.zero_()
    for convolution in network.raise_:
        convolution.bias.zero_()
    for block in (network.down[0], network.up[-1]):
        block.enter[0].weight[0, 0, 1, 1] = 1
    network.head.bias.zero_()
    network.head.weight[bright, 0], network.head.bias[bright] = 10, -10
    network.head.weight[brightest, 0], network.head.bias[brightest] = 20, -40


@torch.no_grad()
def _randomise(network: ResUNet, seed: int) -> None:
    """Random weights and statistics, with logits large enough that classes differ."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.2, 0.2, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
    network.head.weight.normal_(0, 2, generator=generator)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module is not network.head:
            torch.nn.init.kaiming_normal_(module.weight, generator=generator)
