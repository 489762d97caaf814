"""Loading the vision-language half of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from CPS4Core.encoders.class_map import ClassMap, read_form
from CPS4Core.encoders.class_maps import make_class_map
from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo, load_weights

if TYPE_CHECKING:
    from CPS4Core.encoders.text import TextEncoder


def load_prompt_attention(info: ModelInfo) -> ClassMap:
    """Vision encoder and class map, eval mode, CPU; raises CPS4Error if the model has none."""
    path = info.folder / "vision_language.safetensors"
    if not path.is_file():
        raise CPS4Error(
            f"This model ('{info.method}') has no prompt maps",
            path=info.folder,
            cure="Use a model trained with the method cps4",
        )
    weights = load_weights(path)
    attention = make_class_map(
        read_form(info.folder),
        info.config.vision_language,
        info.config.input.size,
        text_width=weights["project_prompts.weight"].shape[1],
        load_weights=False,
    )
    try:
        attention.load_state_dict(weights)
    except RuntimeError as error:
        raise CPS4Error(
            "The weights do not fit the encoders that model.json describes", path=path
        ) from error
    return attention.eval()


def trained_vectors(info: ModelInfo) -> Tensor:
    """The K class prompts [K, D] as saved with the model."""
    return load_weights(info.folder / "text_vectors.safetensors")["vectors"]


def trained_classes(info: ModelInfo) -> Tensor:
    """Which of the K classes some labelled case of stage 1 showed, [K] bool."""
    saved = load_weights(info.folder / "text_vectors.safetensors")
    return saved.get("trained", torch.ones(len(saved["vectors"]))).bool()


def load_text_encoder(info: ModelInfo) -> TextEncoder:
    """The model's text encoder, for prompts in one's own words; raises CPS4Error without one."""
    if not info.has_text_encoder:
        raise CPS4Error(
            "This model was saved without its text encoder, so it cannot read new prompts",
            path=info.folder,
        )
    from CPS4Core.encoders import text

    token = info.config.vision_language.prompt_token
    return text.load_text_encoder(info.folder / "text_encoder", token).eval()


@torch.inference_mode()
def new_vectors(encoder: TextEncoder, attention: ClassMap, prompts: Sequence[str]) -> Tensor:
    """Vectors [P, D] of prompts in one's own words."""
    return attention.encode_prompts(encoder, list(prompts), list(prompts))
