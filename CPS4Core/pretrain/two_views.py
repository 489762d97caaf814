"""Base of objectives that compare two views: the encoders, and slower ones on another contrast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import Stage1Config
from CPS4Core.encoders.class_map import ClassMap, full_precision
from CPS4Core.encoders.text import TextEncoder
from CPS4Core.methods.options import MethodOptions
from CPS4Core.pretrain.captions import Captions
from CPS4Core.pretrain.gaussians import Gaussians, GaussianTransformer
from CPS4Core.pretrain.momentum import Momentum
from CPS4Core.pretrain.objective import Objective
from CPS4Core.schema import LabelSchema


class TwoViewOptions(MethodOptions):
    """Base of the options of such objectives."""

    temperature: Annotated[float, Field(gt=0)] = 0.07
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.995


@dataclass
class View:
    """What encoders and projections say of B slices and their U captions, not yet normalised.

    `tokens` [B, r, c, W] the vision encoder's patches; projected: `image` [B, D], `patches`
    [B, N, D], `text` [U, D], `words` [U, V, D], of which those `there` [U, V] bool exist.
    """

    tokens: Tensor
    image: Tensor
    patches: Tensor
    text: Tensor
    words: Tensor
    there: Tensor


class TwoViews(Objective):
    """Heads for summaries and words beside the class map's, Gaussians, and momentum encoders."""

    def __init__(
        self, class_map: ClassMap, text: TextEncoder, schema: LabelSchema, options: Stage1Config
    ):
        super().__init__(class_map, text, schema, options)
        width = class_map.project_patches.out_features
        self.project_image = nn.Linear(class_map.vision.width, width)
        self.project_words = nn.Linear(text.width, width)
        self.image_gaussians = GaussianTransformer(width)
        self.text_gaussians = GaussianTransformer(width)
        self.momentum = Momentum(self.fast(), self.own.momentum)

    def fast(self) -> dict[str, nn.Module]:
        """What the momentum encoders follow."""
        return {
            "class_map": self.class_map,
            "text": self.text,
            "project_image": self.project_image,
            "project_words": self.project_words,
        }

    def look(
        self, images: Tensor, captions: Captions, encoders: Mapping[str, nn.Module] | None = None
    ) -> View:
        """Images [B, 1, h, w] and their captions, by the encoders or by others of their kind."""
        used = encoders or self.fast()
        class_map, text = used["class_map"], used["text"]
        assert isinstance(class_map, ClassMap) and isinstance(text, TextEncoder)
        summary, tokens = class_map.tokens(images)
        read = text.read(captions.texts, captions.names)
        with full_precision(images):
            words, there, _ = read.words()
            return View(
                tokens.float(),
                used["project_image"](summary.float()),
                class_map.project_patches(tokens.float()).flatten(1, 2),
                class_map.project_prompts(read.pooled(text.prompt_token).float()),
                used["project_words"](words),
                there,
            )

    @torch.no_grad()
    def slow_look(self, images: Tensor, captions: Captions) -> View:
        """The same by the momentum encoders, without gradient."""
        return self.look(images, captions, dict(self.momentum.slow.items()))

    def gaussians(self, view: View) -> tuple[Gaussians, Gaussians]:
        """The tokens of slices [B, 1 + N, D] and of captions [U, 1 + V, D], the summary first."""
        image = torch.cat([view.image[:, None], view.patches], dim=1)
        text = torch.cat([view.text[:, None], view.words], dim=1)
        return self.image_gaussians(image), self.text_gaussians(
            text, F.pad(view.there, (1, 0), value=True)
        )

    def started(self) -> None:
        self.momentum.restart(self.fast())

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.momentum.follow(self.fast())


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., D] of length 1."""
    return F.normalize(vectors, dim=-1)
