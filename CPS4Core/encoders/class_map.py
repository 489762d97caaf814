"""From a patch and a class prompt to an activation: what every objective of stage 1 ends in.

The objectives differ in how they train the encoders. What the prompt maps, stage 2 and inference
need of each is its class map: which patch vectors are compared with which prompt vectors, and how
their cosine becomes an activation in 0..1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import VisionLanguageConfig
from CPS4Core.encoders.text import TextEncoder
from CPS4Core.encoders.upsampling import GatedUpsampling
from CPS4Core.encoders.vision import make_vision_encoder
from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_json
from CPS4Core.networks.normalisation import make_normalisation

FILE = "class_map.json"


@dataclass(frozen=True)
class MapForm:
    """What a class map is beside its weights; saved with a model as class_map.json.

    `kind`: a name that `CPS4Core.encoders.class_maps` knows; `activation`: one of the kind's,
    "" for that of the configuration; `pooling`: which text vector stands for a prompt
    (`TextTokens.pooled`), "" for the configured prompt token; `doublings`: how often a learnt
    decoder doubles the token grid before the comparison.
    """

    kind: str = "attention"
    activation: str = ""
    pooling: str = ""
    doublings: int = 0

    def write(self, folder: Path) -> None:
        """Write it to a model folder."""
        write_json(folder / FILE, asdict(self))


def read_form(folder: Path) -> MapForm:
    """The form of a model's class map; models of before there was a choice have CPS4's."""
    path = folder / FILE
    if not path.is_file():
        return MapForm()
    content: dict[str, Any] = read_json(path, "description of the class map")
    unknown = sorted(set(content) - {field.name for field in fields(MapForm)})
    if unknown:
        raise CPS4Error(
            f"The class map has the unknown property {', '.join(unknown)}",
            path=path,
            cure="Install the CPS4Core version that wrote the model",
        )
    return MapForm(**content)


class ClassMap(nn.Module):
    """Vision encoder, both projections (then L2 norm), and the activation of their cosine.

    The text encoder stands beside it, because prompts are encoded once and this part is all that
    prompt maps need. Each kind says how a cosine becomes an activation.
    """

    def __init__(
        self,
        options: VisionLanguageConfig,
        size: tuple[int, int],
        text_width: int,
        load_weights: bool = True,
        form: MapForm | None = None,
    ):
        super().__init__()
        self.form = form or MapForm()
        self.normalise = make_normalisation(options.normalise, rows=size[0])
        self.vision = make_vision_encoder(options.vision, size, load_weights)
        self.project_patches = nn.Linear(self.vision.width, options.projection)
        self.project_prompts = nn.Linear(text_width, options.projection)
        self.decoder = (
            GatedUpsampling(options.projection, self.form.doublings)
            if self.form.doublings
            else nn.Identity()
        )

    def prompt_vectors(self, prompt_tokens: Tensor) -> Tensor:
        """Prompt tokens [K, text width] -> unit vectors [K, D]."""
        return F.normalize(self.project_prompts(prompt_tokens), dim=-1)

    def encode_prompts(self, text: TextEncoder, prompts: list[str], names: list[str]) -> Tensor:
        """Prompts and the class name in each -> unit vectors [K, D]."""
        tokens = text.read(prompts, names)
        return self.prompt_vectors(tokens.pooled(self.form.pooling or text.prompt_token))

    def tokens(self, images: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images [B, 1, h, w] in 0..1 -> the encoder's summary [B, W] and patches [B, r, c, W].

        `mask` [B, 1, h, w] in 0..1 hides part of the normalised image.
        """
        with full_precision(images):
            normalised = self.normalise(images.float())
            if mask is not None:
                normalised = normalised * mask
        return self.vision.tokens(normalised)

    def patch_vectors(self, tokens: Tensor) -> Tensor:
        """The encoder's patches [B, r, c, W] -> unit vectors [B, rows, cols, D]."""
        projected = self.project_patches(tokens)
        with full_precision(tokens):
            if self.form.doublings:
                projected = self.decoder(projected.float().movedim(3, 1)).movedim(1, 3)
            return F.normalize(projected.float(), dim=-1)

    def patches(self, images: Tensor) -> Tensor:
        """Images [B, 1, h, w] in 0..1 -> unit vectors [B, rows, cols, D], whatever the prompts."""
        return self.patch_vectors(self.tokens(images)[1])

    def cosines(self, images: Tensor, vectors: Tensor) -> Tensor:
        """`cos(v_u, t_c)`: images [B, 1, h, w] in 0..1, vectors [K, D] -> [B, K, rows, cols]."""
        return compare(self.patches(images), vectors)

    @property
    def competing(self) -> bool:
        """Whether the prompts compete at each patch, so that one alone would say nothing."""
        return False

    def activate(self, cosines: Tensor) -> Tensor:
        """Cosines [B, K, rows, cols] -> the activation A in 0..1, each kind's own."""
        raise NotImplementedError

    def forward(self, images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The activation A in 0..1 and the cosines behind it, both [B, K, rows, cols]."""
        return self.attend(self.patches(images), vectors)

    def attend(self, patches: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The same from patches [B, rows, cols, D] of before."""
        cosines = compare(patches, vectors)
        return self.activate(cosines), cosines

    def attend_apart(
        self, patches: Tensor, vectors: Tensor, rivals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `attend`, each vector as if it were the only one asked for.

        Where prompts compete it competes with `rivals` [K, D], the class prompts.
        """
        if not self.competing:
            return self.attend(patches, vectors)
        cosines, against = compare(patches, vectors), compare(patches, rivals)
        alone = [self.activate(torch.cat([one, against], 1))[:, :1] for one in cosines.split(1, 1)]
        return torch.cat(alone, 1), cosines


def compare(patches: Tensor, vectors: Tensor) -> Tensor:
    """Unit vectors [B, rows, cols, D] and [K, D] -> their cosines [B, K, rows, cols]."""
    # Half precision would round cosines and log(1 - A) too coarsely.
    with full_precision(patches):
        return torch.einsum("bijd,kd->bkij", patches, vectors.float())


def full_precision(like: Tensor) -> torch.autocast:
    """Formulas are computed in float32 whatever precision the encoders run in."""
    return torch.autocast(like.device.type, enabled=False)
