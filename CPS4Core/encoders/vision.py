"""Vision encoders: an image to patch tokens on a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from CPS4Core.config import VisionConfig
from CPS4Core.errors import CPS4Error


class ConvStemViT(nn.Module):
    """A small vision transformer behind a convolutional stem, for training from random weights.

    The stem halves the image until one token is `patch` pixels wide (a power of two); fixed
    sine-cosine positions tell the transformer where along the spine a token lies.
    """

    def __init__(self, options: VisionConfig, size: tuple[int, int]):
        super().__init__()
        steps = int(math.log2(options.patch))
        if 2**steps != options.patch:
            raise CPS4Error(
                f"The patch size of conv-vit must be a power of two, not {options.patch}"
            )
        self.width = options.width
        layers: list[nn.Module] = []
        channels = 1
        for step in range(steps):
            wider = max(16, options.width >> (steps - 1 - step))
            layers += [
                nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.GELU(),
                nn.Conv2d(wider, wider, 3, padding=1, groups=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.GELU(),
            ]
            channels = wider
        self.stem = nn.Sequential(*layers, nn.Conv2d(channels, options.width, 1))
        grid = size[0] // options.patch, size[1] // options.patch
        self.register_buffer("positions", _sine_positions(grid, options.width), persistent=False)
        block = nn.TransformerEncoderLayer(
            options.width,
            options.heads,
            4 * options.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, options.depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(options.width)

    positions: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, h, w] -> patch tokens [B, h/patch, w/patch, width]."""
        tokens = self.stem(image)
        batch, width, rows, cols = tokens.shape
        tokens = tokens.flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.blocks(tokens)).reshape(batch, rows, cols, width)

    def tokens(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, h, w] -> a summary of the image, the mean patch [B, width], and the patches."""
        patches = self(image)
        return patches.mean(dim=(1, 2)), patches


def _sine_positions(grid: tuple[int, int], width: int) -> Tensor:
    quarter = width // 4
    rates = torch.exp(-math.log(100.0) * torch.arange(quarter) / max(1, quarter - 1)) * math.pi
    rows = torch.linspace(0, 10, grid[0])[:, None] * rates
    cols = torch.linspace(0, 10, grid[1])[:, None] * rates
    row_part = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, grid[1], -1)
    col_part = torch.cat([cols.sin(), cols.cos()], 1)[None].expand(grid[0], -1, -1)
    both = torch.cat([row_part, col_part], dim=2)
    both = nn.functional.pad(both, (0, width - both.shape[2]))
    return both.reshape(1, -1, width)


class TimmViT(nn.Module):
    """A vision transformer of timm with one input channel, positions resampled to our grid."""

    def __init__(self, options: VisionConfig, size: tuple[int, int], load_weights: bool):
        super().__init__()
        from CPS4Core.encoders.torchvision_import import import_timm

        timm = import_timm()
        source: dict[str, object] = {}
        name, weights = _name_and_file(options.name)
        if weights is not None:
            source["pretrained_cfg_overlay"] = {"file": weights}
        shape = {}
        if not load_weights and not options.pretrained:
            # Built from the configuration: any size, so that tests and small models are possible.
            shape = {
                "patch_size": options.patch,
                "embed_dim": options.width,
                "depth": options.depth,
                "num_heads": options.heads,
            }
        try:
            self.model = timm.create_model(
                name,
                pretrained=load_weights and options.pretrained,
                img_size=size,
                in_chans=1,
                num_classes=0,
                **source,
                **shape,
            )
        except Exception as error:  # timm and the hub raise many kinds
            raise CPS4Error(
                f"The vision encoder '{options.name}' cannot be built or loaded "
                f"({type(error).__name__}: {error})",
                cure="Give --allow-download to fetch it once; without a network, set "
                "vision_language.vision.name to NAME@FILE with a local "
                "weights file, or train with the preset cpu, which needs no weights",
            ) from error
        self.width = self.model.num_features
        self.grid = size[0] // options.patch, size[1] // options.patch

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1, h, w] -> patch tokens [B, h/patch, w/patch, width]."""
        return self.tokens(image)[1]

    def tokens(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, h, w] -> [CLS] (or the mean patch where there is none) [B, width], the patches."""
        tokens = self.model.forward_features(image)
        prefix = self.model.num_prefix_tokens
        patches = tokens[:, prefix:].reshape(image.shape[0], *self.grid, -1)
        return tokens[:, 0] if prefix else patches.mean(dim=(1, 2)), patches


def _name_and_file(name: str) -> tuple[str, str | None]:
    """`NAME@FILE` names a timm architecture and a local weights file."""
    architecture, separator, file = name.partition("@")
    if not separator:
        return architecture, None
    from pathlib import Path

    path = Path(file)
    if path.is_dir():
        found = sorted(path.glob("*.safetensors")) + sorted(path.glob("pytorch_model*.bin"))
        path = found[0] if found else path / "model.safetensors"
    if not path.is_file():
        raise CPS4Error(
            "The vision encoder's weights are missing",
            path=path,
            cure="Put the weights file there, or correct vision_language.vision.name",
        )
    return architecture, str(path)


def make_vision_encoder(
    options: VisionConfig, size: tuple[int, int], load_weights: bool = True
) -> ConvStemViT | TimmViT:
    """The encoder that the options name; `load_weights=False` leaves pretrained weights unread."""
    for side in size:
        if side % options.patch:
            raise CPS4Error(
                f"The input size {size} is no multiple of the patch size {options.patch}",
                cure="Change input.size or vision_language.vision.patch",
            )
    if options.kind == "conv-vit":
        return ConvStemViT(options, size)
    return TimmViT(options, size, load_weights)
