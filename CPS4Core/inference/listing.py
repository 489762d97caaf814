"""A list of models to choose from, with what is wrong with those that cannot be used.

Needs nothing installed but numpy: the list is shown before the packages are. What only pydantic
could find (an option of another version) is then found later, when the model is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.inference import models
from CPS4Core.model_description import ModelDescription, model_inside, read_description
from CPS4Core.schema import schema_from_dict

NETWORK, CALIBRATION = "network.safetensors", "calibration.json"


@dataclass(frozen=True)
class ListedModel:
    """A model folder in words; where there is a `problem` (cause and cure) the rest may be empty.

    `structures`: the names of what it labels; `schema`: `LabelSchema.to_dict`; `prompt_maps`,
    `new_prompts`: whether it shows maps, and of prompts in one's own words; `calibrated`: whether
    confidences are probabilities for the model's own rule of levels.
    """

    name: str
    folder: str
    data: str = ""
    licence: str = ""
    trained_on: str = ""
    quality: str = ""
    structures: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    prompt_maps: bool = False
    new_prompts: bool = False
    calibrated: bool = False
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def list_models(folders: Sequence[Path] = ()) -> list[ListedModel]:
    """The installed models in the order of the search, then those in `folders`, each folder once.

    A folder may be a model, a run, or hold several of these. Never raises for a bad model or a
    folder without one: that is its `problem`. Of installed models with one name the first counts.
    """
    listed: dict[Path, ListedModel] = {}
    names: set[str] = set()
    for place in models.model_places():
        for folder in _models_in(place):
            if folder.name not in names:
                names.add(folder.name)
                listed.setdefault(folder.resolve(), _describe(folder))
    for given in folders:
        own = [given] if _looks_like_a_model(given) else list(_models_in(given))
        for folder in own:
            listed.setdefault(model_inside(folder).resolve(), _describe(folder))
        if not own:
            listed.setdefault(given.resolve(), _nothing_in(given))
    return list(listed.values())


def _models_in(place: Path) -> Iterator[Path]:
    try:
        inside = sorted(place.iterdir())
    except OSError:
        return
    yield from (p for p in inside if not p.name.startswith(".") and _looks_like_a_model(p))


def _looks_like_a_model(folder: Path) -> bool:
    """Whether it holds a model's description, or weights of which the description got lost."""
    described = (model_inside(folder) / "model.json").is_file()
    return described or (folder.is_dir() and any(folder.glob("*.safetensors")))


def _nothing_in(folder: Path) -> ListedModel:
    cause = "This folder holds no model" if folder.is_dir() else "There is no such folder"
    error = CPS4Error(cause, path=folder, cure="Choose a model folder or a run of cps4 train")
    return ListedModel(folder.name, str(folder), problem=str(error))


def _describe(given: Path) -> ListedModel:
    folder = model_inside(given)
    name = ModelDescription(folder).name
    try:
        content = read_description(folder)
        model = ModelDescription(folder, content["provenance"], content["metrics"])
        schema = schema_from_dict(content["schema"], folder / "model.json")
        _check_weights(folder)
        return ListedModel(
            name=name,
            folder=str(folder),
            data=model.data,
            licence=model.licence,
            trained_on=model.trained_on,
            quality=model.quality,
            structures=[structure.name for structure in schema.structures],
            schema=schema.to_dict(),
            prompt_maps=model.has_prompt_maps,
            new_prompts=model.has_prompt_maps and model.has_text_encoder,
            calibrated=_is_calibrated(folder),
        )
    except CPS4Error as error:
        return ListedModel(name, str(folder), problem=str(error))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        cause = f"model.json lacks or misstates {error}"
        why = CPS4Error(cause, path=folder, cure="Copy the whole folder again")
        return ListedModel(name, str(folder), problem=str(why))


def _is_calibrated(folder: Path) -> bool:
    """By the model's own rule of levels; opens the model as its use does, where that is possible.

    Raises CPS4Error for a configuration of another version and a calibration of another model.
    """
    try:
        from CPS4Core.inference.calibration import read_calibration
        from CPS4Core.inference.predictor import levels_rule
        from CPS4Core.model_folder import read_model

        info = read_model(folder)
    except ImportError:  # not installed yet
        return (folder / CALIBRATION).is_file()
    return read_calibration(info, levels_rule(info, None)) is not None


def _check_weights(folder: Path) -> None:
    """Raise CPS4Error where the network is missing, or a file of weights is not as long as it says.

    A safetensors file begins with the length of its header (8 bytes, little endian) and the header,
    JSON with each tensor's place after it.
    """
    if not (folder / NETWORK).is_file():
        raise CPS4Error(
            "This model has no segmentation network, stage 1 only",
            path=folder,
            cure="Train stage 2 with cps4 train, or choose another model",
        )
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with open(file, "rb") as opened:
                length = int.from_bytes(opened.read(8), "little")
                size = file.stat().st_size
                header = json.loads(opened.read(min(length, size)))
            ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
            whole = size == 8 + length + max(ends, default=0)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise CPS4Error(
                "The weights are cut off or damaged", path=file, cure="Copy the whole folder again"
            )
