"""Prompt maps of a whole volume, slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.integration import prompt_maps
from CPS4Core.prompt_maps.model import (
    load_prompt_attention,
    load_text_encoder,
    new_vectors,
    trained_classes,
    trained_vectors,
)
from CPS4Core.slices.grid import SliceGrid, make_grid, working_slices
from CPS4Core.volumes.sagittal import SagittalStack
from CPS4Core.volumes.scale import refuse_wrong_scale

if TYPE_CHECKING:
    from CPS4Core.encoders.text import TextEncoder


@dataclass
class VolumeMaps:
    """Maps of S slices for P prompts.

    `attention` [S, P, rows, cols] float16 in 0..1 on the token grid; `thresholds` [S, P] Otsu's;
    `packed_binary` [S, P, h, w / 8] uint8, what lies above them as bits; `working_integrated`
    [S, h, w] uint8, class indices for the model's own prompts (for new prompts the position among
    them, from 0).
    """

    names: list[str]
    attention: np.ndarray
    thresholds: np.ndarray
    packed_binary: np.ndarray
    working_integrated: np.ndarray
    grid: SliceGrid
    upsampling: str

    def working_soft(self, slice_index: int, prompts: slice = slice(None)) -> np.ndarray:
        """Up-sampled maps of one slice [P, h, w] float32, of all prompts or some."""
        tokens = torch.from_numpy(self.attention[slice_index, prompts]).float()[None]
        if self.upsampling == "nearest":
            return F.interpolate(tokens, self.grid.size, mode="nearest")[0].numpy()
        resized = F.interpolate(tokens, self.grid.size, mode="bilinear", align_corners=False)
        return resized[0].numpy()

    def soft(self, prompt: int) -> np.ndarray:
        """The map of one prompt in the native stack [S, R, C] float32."""
        return np.stack(
            [
                self.grid.map_to_native(self.working_soft(s, slice(prompt, prompt + 1))[0])
                for s in range(len(self.attention))
            ]
        )

    def binary(self, prompt: int) -> np.ndarray:
        """Where a prompt responds, by Otsu's threshold: native stack [S, R, C] bool."""
        width = self.grid.size[1]
        working = np.unpackbits(self.packed_binary[:, prompt], axis=-1, count=width)
        return np.stack([self.grid.map_to_native(plane) > 0.5 for plane in working])

    @property
    def integrated(self) -> np.ndarray:
        """The integrated map in the native stack [S, R, C] uint8."""
        count = int(self.working_integrated.max()) + 1
        planes = []
        for plane in self.working_integrated:
            one_hot = (plane[None] == np.arange(count)[:, None, None]).astype(np.float32)
            planes.append(self.grid.from_working(one_hot)[0] if count > 1 else None)
        blank = np.zeros(self.grid.native, np.uint8)
        return np.stack([blank if p is None else p for p in planes])


@dataclass
class VolumeFeatures:
    """What the vision encoder sees in S slices, whatever the prompts are.

    `patches` [S, rows, cols, D]: unit vectors on the token grid, on the device of the mapper.
    """

    patches: Tensor
    grid: SliceGrid


class PromptMapper:
    """Keeps the vision encoder loaded and maps volumes.

    With `prompts` the maps are of these new prompts (needs the model's text encoder), otherwise of
    the model's K class prompts, for which neither text encoder nor transformers is touched.
    """

    def __init__(self, info: ModelInfo, device: str = "cpu", prompts: Sequence[str] | None = None):
        self.info = info
        self.device = torch.device(device)
        self.attention = load_prompt_attention(info).to(self.device)
        self._classes = trained_vectors(info).to(self.device)
        self._text_encoder: TextEncoder | None = None
        self.ask(prompts)

    def ask(self, prompts: Sequence[str] | None) -> None:
        """Turn to other prompts; None or no prompt: the model's own."""
        self.own_prompts = not prompts
        if not prompts:
            self.names = self.info.schema.class_names
            self.vectors = self._classes
            self.trained: Tensor | None = trained_classes(self.info).to(self.device)
            return
        if self._text_encoder is None:
            self._text_encoder = load_text_encoder(self.info).to(self.device)
        self.names, self.trained = list(prompts), None
        self.vectors = new_vectors(self._text_encoder, self.attention, self.names)

    def maps(self, stack: SagittalStack, progress: Progress | None = None) -> VolumeMaps:
        """Maps of a sagittal stack."""
        progress = progress or Progress()
        grid, working = self._working(stack)
        return self._maps((self._patches(image, progress) for image in working), grid)

    def features(self, stack: SagittalStack, progress: Progress | None = None) -> VolumeFeatures:
        """The part of the work that all prompts share: `maps_of` takes it from there."""
        progress = progress or Progress()
        grid, working = self._working(stack)
        slices = progress.track(working, "looking at slices")
        return VolumeFeatures(torch.cat([self._patches(s, progress) for s in slices]), grid)

    def maps_of(self, features: VolumeFeatures) -> VolumeMaps:
        """Maps for the present prompts, as `maps` makes them."""
        return self._maps(features.patches.split(1), features.grid)

    def _working(self, stack: SagittalStack) -> tuple[SliceGrid, np.ndarray]:
        refuse_wrong_scale(stack)
        grid = make_grid(stack.array.shape[1:], stack.spacing[1:], self.info.config.input)
        return grid, working_slices(stack.array, grid)

    @torch.inference_mode()
    def _patches(self, image: np.ndarray, progress: Progress) -> Tensor:
        progress.check()
        return self.attention.patches(torch.from_numpy(image)[None, None].to(self.device))

    @torch.inference_mode()
    def _maps(self, slices: Iterable[Tensor], grid: SliceGrid) -> VolumeMaps:
        """Maps from the patches [1, rows, cols, D] of each slice."""
        options = self.info.config.maps
        kept, thresholds, binary, integrated = [], [], [], []
        for patches in slices:
            if self.own_prompts:
                soft, cosines = self.attention.attend(patches, self.vectors)
                found = prompt_maps(soft, cosines, grid.size, options, self.trained)
                first = 0
            else:
                soft, cosines = self.attention.attend_apart(patches, self.vectors, self._classes)
                # New prompts have no background among them: a blank first class stands for it.
                blank, nothing = torch.zeros_like(soft[:, :1]), torch.full_like(cosines[:, :1], -1)
                found = prompt_maps(
                    torch.cat([blank, soft], 1),
                    torch.cat([nothing, cosines], 1),
                    grid.size,
                    options.model_copy(update={"integration": "highest-fired"}),
                )
                first = 1
            kept.append(soft[0].half().cpu().numpy())
            thresholds.append(found.thresholds[0, first:].float().cpu().numpy())
            binary.append(np.packbits(found.binary[0, first:].cpu().numpy(), axis=-1))
            integrated.append(found.integrated[0].to(torch.uint8).cpu().numpy())
        return VolumeMaps(
            self.names,
            np.stack(kept),
            np.stack(thresholds),
            np.stack(binary),
            np.stack(integrated),
            grid,
            options.upsampling,
        )
