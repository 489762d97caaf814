"""Which model segments when the user names none."""

from __future__ import annotations

from pathlib import Path

import CPS4Core
from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo, read_model


def shipped_models_folder() -> Path:
    """Where models lie that come with the source tree."""
    return Path(CPS4Core.__file__).resolve().parents[1] / "Resources" / "models"


def open_model(folder: Path | None) -> ModelInfo:
    """Read the given model or run folder, or the one model in Resources/models.

    Raises CPS4Error for a missing or damaged model, and where none is given and there is not
    exactly one.
    """
    if folder is not None:
        if not folder.is_dir():
            raise CPS4Error(
                "There is no such model folder", path=folder, cure="Give a folder by cps4 train"
            )
        return read_model(folder)
    shipped = sorted(p.parent for p in shipped_models_folder().glob("*/model.json"))
    if len(shipped) == 1:
        return read_model(shipped[0])
    if shipped:
        raise CPS4Error(
            "There is more than one model",
            path=shipped_models_folder(),
            cure=f"Choose with --model one of {', '.join(p.name for p in shipped)}",
        )
    raise CPS4Error(
        "No model was given, and none comes with this version",
        cure="Train one with cps4 train STUDY --output RUN, then give --model RUN",
    )
