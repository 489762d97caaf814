"""Prompt maps of a whole volume, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.integration import prompt_maps
from CPS4Core.prompt_maps.model import (
    load_prompt_attention,
    new_vectors,
    trained_classes,
    trained_vectors,
)
from CPS4Core.slices.grid import SliceGrid, make_grid, working_slices
from CPS4Core.volumes.sagittal import SagittalStack


@dataclass
class VolumeMaps:
    """Maps of S slices for P prompts.

    `attention` [S, P, rows, cols] float16 in 0..1 on the token grid; `thresholds` [S, P] Otsu's;
    `working_integrated` [S, h, w] uint8, class indices for the model's own prompts (for new prompts
    the position among them, from 0).
    """

    names: list[str]
    attention: np.ndarray
    thresholds: np.ndarray
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


class PromptMapper:
    """Keeps the vision encoder loaded and maps volumes.

    With `prompts` the maps are of these new prompts (needs the model's text encoder), otherwise of
    the model's K class prompts, for which neither text encoder nor transformers is touched.
    """

    def __init__(self, info: ModelInfo, device: str = "cpu", prompts: Sequence[str] | None = None):
        self.info = info
        self.device = torch.device(device)
        attention = load_prompt_attention(info)
        self.names = list(prompts) if prompts else info.schema.class_names
        self.own_prompts = prompts is None or not prompts
        vectors = (
            trained_vectors(info) if self.own_prompts else new_vectors(info, attention, self.names)
        )
        self.attention, self.vectors = attention.to(self.device), vectors.to(self.device)
        self.trained = trained_classes(info).to(self.device) if self.own_prompts else None

    @torch.inference_mode()
    def maps(self, stack: SagittalStack, progress: Progress | None = None) -> VolumeMaps:
        """Maps of a sagittal stack."""
        grid = make_grid(stack.array.shape[1:], stack.spacing[1:], self.info.config.input)
        working = working_slices(stack.array, grid)
        options = self.info.config.maps
        kept, thresholds, integrated = [], [], []
        for image in working:
            if progress is not None:
                progress.check()
            batch = torch.from_numpy(image)[None, None].to(self.device)
            soft, cosines = self.attention(batch, self.vectors)
            if self.own_prompts:
                found = prompt_maps(soft, cosines, grid.size, options, self.trained)
                merged = found.integrated
            else:
                # New prompts have no background among them: a blank first class stands for it.
                blank, nothing = torch.zeros_like(soft[:, :1]), torch.full_like(cosines[:, :1], -1)
                found = prompt_maps(
                    torch.cat([blank, soft], 1),
                    torch.cat([nothing, cosines], 1),
                    grid.size,
                    options.model_copy(update={"integration": "highest-fired"}),
                )
                merged = found.integrated
                found.thresholds = found.thresholds[:, 1:]
            kept.append(soft[0].half().cpu().numpy())
            thresholds.append(found.thresholds[0].float().cpu().numpy())
            integrated.append(merged[0].to(torch.uint8).cpu().numpy())
        return VolumeMaps(
            self.names,
            np.stack(kept),
            np.stack(thresholds),
            np.stack(integrated),
            grid,
            options.upsampling,
        )
