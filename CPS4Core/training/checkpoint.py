"""Checkpoints: one safetensors file with the rest of the state as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path

_TENSOR = "__tensor__"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a nested state of dicts, lists, numbers, strings and tensors; complete or absent."""
    tensors: dict[str, Tensor] = {}
    described = json.dumps(_detach(state, "state", tensors))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"state": described})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, tensors on the CPU.

    Raises CPS4Error for a damaged file, naming the cure.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            described = json.loads(metadata["state"])
            return _attach(described, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except FileNotFoundError:
        raise CPS4Error("The checkpoint is missing", path=path) from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CPS4Error(
            f"The checkpoint is damaged ({error})",
            path=path,
            cure="Delete this file to begin this stage again; finished stages are kept",
        ) from error


def _detach(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        # A copy: two names for one memory are refused by safetensors.
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        # A list of pairs keeps integer keys, which an optimiser's state has.
        return {"pairs": [[k, _detach(v, f"{name}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_detach(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]
    return value


def _attach(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {k: _attach(v, tensors) for k, v in value["pairs"]}
    if isinstance(value, list):
        return [_attach(v, tensors) for v in value]
    return value


def load_into(module: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load weights; raises CPS4Error where they belong to another configuration."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise CPS4Error(
            "The checkpoint belongs to another configuration",
            path=path,
            cure="Use the configuration that made it, or another output folder",
        ) from error
