"""What model.json says of a model, read with nothing installed but numpy.

CPS4Core.model_folder reads the configuration too, for which pydantic and PyYAML are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CPS4Core import __version__
from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json

FORMAT_VERSION = 1


class Described:
    """What follows from a model's folder, its provenance and its metrics alone."""

    folder: Path
    provenance: dict[str, Any]
    metrics: dict[str, Any]

    # No dataclass: a subclass may have its fields in an order of its own.

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
    def trained_on(self) -> str:
        """How much it was trained on, in words."""
        known = self.provenance
        count = {kind: len(known.get(kind, ())) for kind in ("labelled", "unlabelled")}
        phantoms = known.get("phantoms", {}).get("count", 0)
        return (
            f"{count['labelled']} labelled and {count['unlabelled']} unlabelled cases, "
            f"{phantoms} phantoms"
        )

    @property
    def quality(self) -> str:
        """The measured mean Dice in words: of a model card where there is one, else validation."""
        if card := self.metrics.get("card"):
            first = next(iter(card.values()))
            return f"mDice {first['dice']:.3f} on {first['cases']} {first['what']}"
        found = self.metrics.get("stage2", {}).get("validation", {})
        return f"mDice {found['mdice']:.3f} in validation" if "mdice" in found else "not measured"

    @property
    def has_prompt_maps(self) -> bool:
        """Whether the model can show prompt maps."""
        return (self.folder / "vision_language.safetensors").is_file()

    @property
    def has_text_encoder(self) -> bool:
        """Whether the model can read new prompts."""
        return (self.folder / "text_encoder").is_dir()


@dataclass
class ModelDescription(Described):
    """A model without its configuration."""

    folder: Path
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def model_inside(folder: Path) -> Path:
    """The model folder itself, or the one in a run folder; `folder` where there is none."""
    inside = (folder / part for part in (".", "model", "stage1/model"))
    return next((f for f in inside if (f / "model.json").is_file()), folder)


def read_description(folder: Path) -> dict[str, Any]:
    """The content of a model folder's model.json.

    Raises CPS4Error where it is missing or damaged, of another format, or where files that it names
    are not there.
    """
    content = read_json(folder / "model.json", "description of the model")
    if not isinstance(content, dict):
        raise CPS4Error("model.json is not a JSON object", path=folder)
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
    return content
