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

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core import __version__
from CPS4Core.config import Config, complete_config
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, read_json, write_error, write_json
from CPS4Core.schema import LabelSchema, schema_from_dict

if TYPE_CHECKING:
    from torch import Tensor

    from CPS4Core.networks.resunet import ResUNet

FORMAT_VERSION = 1


@dataclass
class ModelInfo:
    """What model.json says."""

    folder: Path
    config: Config
    schema: LabelSchema
    method: str
    encoder_weights: str
    """Which weights the encoders started from, in words."""
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name; that of the run where the model lies inside it."""
        folder = self.folder.resolve()
        while folder.name in ("model", "stage1"):
            folder = folder.parent
        return folder.name

    @property
    def data(self) -> str:
        """The data set that it was trained on."""
        return str(self.provenance.get("study", "unknown data"))

    @property
    def licence(self) -> str:
        """The licence of that data."""
        return str(self.provenance.get("licence", "not stated"))

    @property
    def has_prompt_maps(self) -> bool:
        """Whether the model can show prompt maps."""
        return (self.folder / "vision_language.safetensors").is_file()

    @property
    def has_text_encoder(self) -> bool:
        """Whether the model can read new prompts."""
        return (self.folder / "text_encoder").is_dir()


def read_model(folder: str | Path) -> ModelInfo:
    """Read model.json of a model folder, or of the model in a run folder.

    Raises CPS4Error for a missing, half copied or newer model.
    """
    folder = Path(folder)
    inside = (folder / part for part in (".", "model", "stage1/model"))
    folder = next((f for f in inside if (f / "model.json").is_file()), folder)
    content = read_json(folder / "model.json", "description of the model")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise CPS4Error(
            f"The model has format {version}, this is CPS4Core {__version__} with format "
            f"{FORMAT_VERSION}",
            path=folder,
            cure="Install the CPS4Core version that wrote it, or train again",
        )
    missing = [name for name in content.get("files", []) if not (folder / name).is_file()]
    if missing:
        raise CPS4Error(
            f"The model lacks {', '.join(missing)}", path=folder, cure="Copy the whole folder again"
        )
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


@contextmanager
def new_model_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` once the block succeeds."""
    final = Path(folder)
    make_folder(final.parent)
    temporary = final.with_name(f".partial-{secrets.token_hex(4)}-{final.name}")
    try:
        temporary.mkdir()
        yield temporary
        if final.exists():
            old = final.with_name(f".partial-{secrets.token_hex(4)}-old")
            final.rename(old)
            temporary.rename(final)
            shutil.rmtree(old)
        else:
            temporary.rename(final)
    except OSError as error:
        raise write_error(error, final) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
