"""A model is one folder: weights as safetensors, everything else as JSON, the prompts' vectors.

Layout::

    model.json                    what it is: network, input, schema, prompts, provenance, metrics
    network.safetensors           the segmentation network
    vision_language.safetensors   vision encoder, projections and class map (prompt maps)
    class_map.json                how these become an activation (absent in older models: CPS4's)
    text_vectors.safetensors      `vectors` [K, D], the K class prompts as seen by the text encoder
    text_encoder/                 text encoder and tokenizer, needed for new prompts only
    calibration.json              what confidences are worth, by cps4 calibrate, where it was run
    openvino/network.xml|bin      the same network for OpenVINO, if that is installed

Reading a model needs neither transformers nor timm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core import __version__
from CPS4Core.errors import CPS4Error
from CPS4Core.files import new_folder, write_json
from CPS4Core.model_description import (
    FORMAT_VERSION,
    Described,
    model_inside,
    read_description,
)
from CPS4Core.schema import LabelSchema, schema_from_dict

if TYPE_CHECKING:
    from torch import Tensor

    from CPS4Core.config import Config
    from CPS4Core.networks.resunet import ResUNet


MAP_FILES = ("vision_language.safetensors", "text_vectors.safetensors", "class_map.json")
"""What prompt maps are made from, beside the description."""
new_model_folder = new_folder
"""Model folders are complete or absent."""


@dataclass
class ModelInfo(Described):
    """What model.json says."""

    folder: Path
    config: Config
    schema: LabelSchema
    method: str
    encoder_weights: str
    """Which weights the encoders started from, in words."""
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def read_model(folder: str | Path) -> ModelInfo:
    """Read model.json of a model folder, or of the model in a run folder.

    Raises CPS4Error for a missing, half copied or newer model.
    """
    folder = model_inside(Path(folder))
    content = read_description(folder)
    from CPS4Core.config import complete_config

    try:
        return ModelInfo(
            folder=folder,
            config=complete_config(content["config"], folder / "model.json"),
            schema=schema_from_dict(content["schema"], folder / "model.json"),
            method=content["method"],
            encoder_weights=content["encoder_weights"],
            provenance=content["provenance"],
            metrics=content["metrics"],
        )
    except KeyError as error:
        raise CPS4Error(f"model.json lacks {error}", path=folder) from error


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises CPS4Error for a missing or damaged one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise CPS4Error("The weights are missing", path=path) from None
    except (SafetensorError, OSError) as error:
        raise CPS4Error(
            f"The weights cannot be read ({error})",
            path=path,
            cure="The file is damaged or half copied; copy or train it again",
        ) from error


def load_network(info: ModelInfo) -> ResUNet:
    """The segmentation network in eval mode, on the CPU."""
    network = make_network(info.config, info.schema)
    path = info.folder / "network.safetensors"
    try:
        network.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise CPS4Error(
            "The weights do not fit the network that model.json describes", path=path
        ) from error
    return network.eval()


def make_network(config: Config, schema: LabelSchema) -> ResUNet:
    """A new segmentation network for this configuration and schema."""
    from CPS4Core.networks.resunet import ResUNet

    return ResUNet(
        schema.class_count,
        config.network.widths,
        config.network.normalise,
        rows=config.input.size[0],
    )


def write_description(folder: Path, info: ModelInfo) -> None:
    """Write model.json for the files that `folder` holds now."""
    files = sorted(
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file() and p.name != "model.json"
    )
    write_json(
        folder / "model.json",
        {
            "format_version": FORMAT_VERSION,
            "code_version": __version__,
            "method": info.method,
            "encoder_weights": info.encoder_weights,
            "schema": info.schema.to_dict(),
            "prompts": info.schema.prompts,
            "config": info.config.model_dump(mode="json"),
            "provenance": info.provenance,
            "metrics": info.metrics,
            "files": files,
        },
    )


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, complete or not at all."""
    from safetensors.torch import save_file

    from CPS4Core.files import atomic_path

    with atomic_path(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary)
