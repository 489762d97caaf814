"""Pseudo-labels of whole unlabelled volumes whose levels were decoded together.

Every few epochs the teacher segments each unlabelled volume, and the best gap-free order of levels
(CPS4Core.levels), the prompt maps joining as evidence, becomes what it teaches until the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Stage2Config
from CPS4Core.device import Precision
from CPS4Core.levels import DecodingOptions, decode_levels
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.training.batches import CaseMaps, DecodedCase
from CPS4Core.training.checkpoint import load_checkpoint, save_checkpoint


@dataclass
class DecodedLabels:
    """Keeps the decoded pseudo-labels of `cases` and makes them again when it is time.

    `teacher` takes images [S, 1, h, w] in 0..1 to logits [S, K, h, w]. `file` holds what was
    decoded last, so that a run that is resumed goes on with the same pseudo-labels.
    """

    cases: Sequence[CachedCase]
    maps: dict[str, CaseMaps] | None
    teacher: Callable[[Tensor], Tensor]
    schema: LabelSchema
    options: Stage2Config
    precision: Precision
    file: Path
    progress: Progress

    def __post_init__(self) -> None:
        self.first_epoch = self.options.warmup_epochs
        self.made_in = -1
        self.decoded: dict[str, DecodedCase] = {}

    def at(self, epoch: int) -> dict[str, DecodedCase] | None:
        """The pseudo-labels that teach in this epoch (0, 1, ...); None while warming up."""
        if epoch < self.first_epoch:
            return None
        due = epoch - (epoch - self.first_epoch) % self.options.decode_every
        if self.made_in != due and epoch != due and self.file.is_file():
            self._load()
        if self.made_in != due:
            self._make(due)
        return self.decoded

    @torch.no_grad()
    def _make(self, epoch: int) -> None:
        decoding = DecodingOptions(extra_weight=self.options.decoded_text_weight)
        for case in self.progress.track(self.cases, "decoding pseudo-labels"):
            images = torch.from_numpy(np.array(case.images))[:, None].to(self.precision.device)
            with self.precision.autocast():
                softmax = self.teacher(images.float() / 255).float().softmax(dim=1)
            found = decode_levels(
                softmax.cpu().numpy(),
                case.spacing,
                self.schema,
                decoding,
                extra=self._extra(case.id, softmax.shape[2:]),
                content=case.content,
            )
            unsure = [
                s.index for s in found.structures if s.confidence < self.options.level_confidence
            ]
            self.decoded[case.id] = DecodedCase(found.labels, ~np.isin(found.labels, unsure))
        self.made_in = epoch
        kept = {
            case: [torch.from_numpy(d.labels), torch.from_numpy(d.level_sure)]
            for case, d in self.decoded.items()
        }
        save_checkpoint(self.file, {"epoch": epoch, "cases": kept})

    def _extra(self, case: str, size: tuple[int, ...]) -> np.ndarray | None:
        if self.maps is None or not self.options.decoded_text_weight:
            return None
        soft = torch.from_numpy(self.maps[case].attention).float()
        return F.interpolate(soft, tuple(size), mode="bilinear", align_corners=False).numpy()

    def _load(self) -> None:
        state = load_checkpoint(self.file)
        self.made_in = state["epoch"]
        self.decoded = {
            case: DecodedCase(labels.numpy(), sure.numpy())
            for case, (labels, sure) in state["cases"].items()
        }
