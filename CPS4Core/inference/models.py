"""Which models are installed, and which of them segments when the user names none.

Models are looked for in this order, and the first place that has one decides on the default:

1. the folders in the environment variable CPS4_MODELS, separated as in PATH
2. `Resources/models` beside the package: a source checkout, or the Slicer extension, whose build
   copies package and resources into the same folder
3. `Resources/models` inside the package: an installed wheel
"""

from __future__ import annotations

import os
from pathlib import Path

import CPS4Core
from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo, read_model

VARIABLE = "CPS4_MODELS"


def model_places() -> list[Path]:
    """Folders of installed models, whether they exist or not, in the order of the search."""
    own = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    package = Path(CPS4Core.__file__).resolve().parent
    return [*own, *(p / "Resources" / "models" for p in (package.parent, package))]


def installed_models() -> dict[str, Path]:
    """Name -> folder of every installed model; the first place wins where a name is there twice."""
    found: dict[str, Path] = {}
    for place in model_places():
        for folder in _models_in(place):
            found.setdefault(folder.name, folder)
    return found


def open_model(given: Path | None) -> ModelInfo:
    """Read the given model or run folder or installed model's name; None takes the default.

    Raises CPS4Error for a missing or damaged model, and where none is given and there is not
    exactly one.
    """
    if given is not None:
        if given.is_dir():
            return read_model(given)
        known = installed_models()
        if str(given) in known:
            return read_model(known[str(given)])
        named = f", or a name: {', '.join(sorted(known))}" if known else ""
        raise CPS4Error(
            "There is no such model folder",
            path=given,
            cure=f"Give a folder by cps4 train{named}",
        )
    for place in model_places():
        here = _models_in(place)
        if len(here) == 1:
            return read_model(here[0])
        if here:
            raise CPS4Error(
                "There is more than one model",
                path=place,
                cure=f"Choose with --model one of {', '.join(p.name for p in here)}",
            )
    raise CPS4Error(
        "No model was given, and none is installed",
        cure="Train one with cps4 train STUDY --output RUN, then give --model RUN",
    )


def _models_in(place: Path) -> list[Path]:
    return sorted(p.parent for p in place.glob("*/model.json") if not p.parent.name.startswith("."))
