"""Every kind of class map by name: built new for training, or for the weights of a model."""

from __future__ import annotations

from CPS4Core.config import VisionLanguageConfig
from CPS4Core.encoders.class_map import ClassMap, MapForm
from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.encoders.prompt_attention import PromptAttention
from CPS4Core.errors import CPS4Error

KINDS: dict[str, type[ClassMap]] = {"attention": PromptAttention, "contrastive": ContrastiveMap}


def make_class_map(
    form: MapForm,
    options: VisionLanguageConfig,
    size: tuple[int, int],
    text_width: int,
    load_weights: bool = True,
) -> ClassMap:
    """A class map of this form for images of `size` (rows, cols).

    `load_weights=False` leaves pretrained weights unread. Raises CPS4Error for an unknown kind.
    """
    if form.kind not in KINDS:
        raise CPS4Error(
            f"There is no class map of the kind '{form.kind}'",
            cure=f"Known kinds: {', '.join(KINDS)}; a newer CPS4Core may have written this model",
        )
    return KINDS[form.kind](options, size, text_width, load_weights, form)
