"""Short names of what a model and an input contain, to notice when either has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo

_DIGITS = 16


def model_fingerprint(info: ModelInfo) -> str:
    """First 16 hex digits of the SHA-256 of all that decides the labels: weights, input, schema.

    Raises CPS4Error where the model has no segmentation network.
    """
    path = info.folder / "network.safetensors"
    if not path.is_file():
        raise CPS4Error(
            "This model has no segmentation network, stage 1 only",
            path=info.folder,
            cure="Train stage 2 with cps4 train, or give another model",
        )
    digest = hashlib.sha256()
    _add(digest, path)
    meaning = [
        info.config.input.model_dump(mode="json"),
        info.config.network.model_dump(mode="json"),
        info.schema.to_dict(),
    ]
    digest.update(json.dumps(meaning, sort_keys=True).encode())
    return digest.hexdigest()[:_DIGITS]


def model_identity(info: ModelInfo) -> dict[str, str]:
    """What is told of a model beside what it made, but for its fingerprint: no path of the user."""
    return {
        "name": info.name,
        "data": info.data,
        "licence": info.licence,
        "method": info.method,
        "encoder_weights": info.encoder_weights,
    }


def input_fingerprint(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's content, or of all files of a DICOM folder."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for file in files:
        _add(digest, file)
    return digest.hexdigest()[:_DIGITS]


def _add(digest: hashlib._Hash, path: Path) -> None:
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CPS4Error(f"The file cannot be read ({error.strerror})", path=path) from error
