"""`models`: which models there are to choose from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CPS4Core.inference.listing import list_models
from CPS4Core.progress import Progress
from CPS4Core.worker.loaded import Loaded


@dataclass(frozen=True)
class Arguments:
    """`folders`: of models, of runs, or of several of these, beside the installed ones."""

    folders: list[str] = field(default_factory=list)


def run(arguments: Arguments, progress: Progress, loaded: Loaded) -> dict[str, Any]:
    """The installed models in the order of the search, then those in the folders.

    Result: models [...], each with the fields of CPS4Core.inference.listing.ListedModel; one that
    cannot be used says why in `problem`. Needs neither torch nor pydantic nor PyYAML.
    """
    listed = list_models([Path(folder) for folder in arguments.folders])
    return {"models": [model.to_dict() for model in listed]}
