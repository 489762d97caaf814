"""Batches for both stages: slices drawn anew each epoch, augmented on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import AugmentationConfig, PhantomsConfig
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.method import Batch
from CPS4Core.schema import IGNORE_INDEX, LabelSchema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.training.augmentation import Augmentation, apply_to_images, apply_to_labels
from CPS4Core.training.loop import epoch_seed
from CPS4Core.training.partial_labels import hidden_classes, hiding_places

_EMPTY_KEPT = 8  # of the phantoms' slices without any structure every eighth takes part


@dataclass
class CaseMaps:
    """Prompt maps of one unlabelled case: `text` [S, h, w] uint8 class indices, `attention`
    [S, K, rows, cols] float16 on the token grid."""

    text: np.ndarray
    attention: np.ndarray


@dataclass
class DecodedCase:
    """Decoded pseudo-labels of one unlabelled case: `labels` [S, h, w] uint8 class indices,
    `level_sure` [S, h, w] bool whether the level, and not only the kind of tissue, is to be
    believed."""

    labels: np.ndarray
    level_sure: np.ndarray


class SlicePool:
    """All slices of some cases, drawn without repetition until each was seen."""

    def __init__(self, cases: Sequence[CachedCase]):
        self.cases = {case.id: case for case in cases}
        self.slices = [(case.id, s) for case in cases for s in range(len(case.images))]

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[str, int]]:
        """`count` slices as (case id, slice number)."""
        order: list[int] = []
        while len(order) < count:
            order += torch.randperm(len(self.slices), generator=generator).tolist()
        return [self.slices[i] for i in order[:count]]

    def images(self, drawn: Sequence[tuple[str, int]]) -> Tensor:
        """[B, 1, h, w] in 0..1."""
        planes = np.stack([self.cases[case].images[s] for case, s in drawn])
        return torch.from_numpy(planes)[:, None].float() / 255

    def labels(self, drawn: Sequence[tuple[str, int]]) -> Tensor:
        """[B, h, w] class indices."""
        planes = []
        for case, s in drawn:
            labels = self.cases[case].labels
            assert labels is not None
            planes.append(labels[s])
        return torch.from_numpy(np.stack(planes)).long()


class PhantomSlices:
    """Phantoms as additional labelled slices, and what the background of either source may hide.

    `real` are the labelled cases that they are mixed with. Without phantoms nothing changes.
    """

    def __init__(
        self,
        phantoms: Sequence[CachedCase],
        options: PhantomsConfig,
        real: Sequence[CachedCase],
        schema: LabelSchema,
    ):
        self.schema = schema
        self.pool = SlicePool(phantoms)
        self.pool.slices = list(_mostly_with_spine(phantoms))
        share = options.share
        self.by_worth = share is None
        if share is None:
            share = options.worth / (options.worth + len(real))
        self.share = share if self.pool.slices else 0.0
        self.hidden = hidden_classes(real, phantoms, schema.class_count)
        self.marginal = self.share > 0 and options.partial_labels == "marginal"

    def count(self, batch: int) -> int:
        """How many of a labelled batch are phantoms."""
        made = round(self.share * batch)
        return min(max(made, 1), batch - 1) if self.by_worth and self.share else made

    def may_hide(self, labels: Tensor, made: int) -> Tensor | None:
        """`Batch.hidden` for these labels [L, h, w], of which the last `made` are phantoms'."""
        if not self.marginal:
            return None
        ours, theirs = self.hidden
        hidden = torch.cat([ours.expand(len(labels) - made, -1), theirs.expand(made, -1)])
        return hiding_places(labels, hidden, self.schema)


def _mostly_with_spine(cases: Sequence[CachedCase]) -> Iterator[tuple[str, int]]:
    empty = 0
    for case in cases:
        assert case.labels is not None
        shown = ((case.labels > 0) & (case.labels != IGNORE_INDEX)).any(axis=(1, 2))
        for s, has_spine in enumerate(shown):
            empty += not has_spine
            if has_spine or empty % _EMPTY_KEPT == 0:
                yield case.id, s


class SliceBatches:
    """Batches of labelled slices, and of unlabelled ones with their prompt maps where needed."""

    def __init__(
        self,
        labelled: Sequence[CachedCase],
        unlabelled: Sequence[CachedCase],
        batch: tuple[int, int],
        iterations: int,
        augmentation: AugmentationConfig,
        seed: int,
        device: torch.device,
        maps: dict[str, CaseMaps] | None = None,
        phantoms: PhantomSlices | None = None,
        decoded: Callable[[int], dict[str, DecodedCase] | None] | None = None,
        unlabelled_from: int = 0,
    ):
        """`unlabelled_from`: the first epoch whose batches hold unlabelled slices."""
        if not labelled:
            raise CPS4Error("There is no labelled training case")
        self.labelled, self.unlabelled = SlicePool(labelled), SlicePool(unlabelled)
        self.sizes = batch if unlabelled else (batch[0], 0)
        self.iterations, self.augmentation = iterations, augmentation
        self.seed, self.device, self.maps = seed, device, maps
        self.phantoms = phantoms
        self.decoded_at = decoded or (lambda epoch: None)
        self.unlabelled_from = unlabelled_from

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; the same for the same seed and epoch.

        Unlabelled slices have a random stream of their own: methods without them, and warm-ups,
        see the same labelled slices, equally augmented.
        """
        seed = epoch_seed(self.seed, epoch)
        generator, other = (torch.Generator().manual_seed(seed + i) for i in (0, 2))
        a, b = self.sizes
        b = b if epoch >= self.unlabelled_from else 0
        p = self.phantoms.count(a) if self.phantoms else 0
        labelled_count, unlabelled_count = (n * self.iterations for n in (a - p, b))
        labelled = self.labelled.draw(labelled_count, generator)
        made = self.phantoms.pool.draw(p * self.iterations, generator) if self.phantoms else []
        unlabelled = self.unlabelled.draw(unlabelled_count, other) if unlabelled_count else []
        change, other_change = (Augmentation(self.augmentation, seed + i) for i in (1, 3))
        decoded = self.decoded_at(epoch)
        for i in range(self.iterations):
            batch = self._labelled_batch(_part(labelled, i, a - p), _part(made, i, p), change)
            if b:
                self._add_unlabelled(batch, _part(unlabelled, i, b), other_change, decoded)
            yield batch

    def _labelled_batch(
        self,
        labelled: list[tuple[str, int]],
        made: list[tuple[str, int]],
        augment: Augmentation,
    ) -> Batch:
        sources = [(self.labelled, labelled)] if labelled else []
        if self.phantoms and made:
            sources.append((self.phantoms.pool, made))
        images = torch.cat([pool.images(drawn) for pool, drawn in sources]).to(self.device)
        labels = torch.cat([pool.labels(drawn) for pool, drawn in sources]).to(self.device)
        change = augment.draw(len(images), (images.shape[2], images.shape[3]))
        batch = Batch(apply_to_images(images, change), apply_to_labels(labels, change), images[:0])
        if self.phantoms and made:
            batch.hidden = self.phantoms.may_hide(batch.labels, len(made))
        return batch

    def _add_unlabelled(
        self,
        batch: Batch,
        drawn: list[tuple[str, int]],
        augment: Augmentation,
        decoded: dict[str, DecodedCase] | None,
    ) -> None:
        raw = self.unlabelled.images(drawn).to(self.device)
        moved = augment.draw(len(drawn), (raw.shape[2], raw.shape[3]))
        batch.unlabelled = apply_to_images(raw, moved)
        if self.maps is not None:
            text = np.stack([self.maps[case].text[s] for case, s in drawn])
            soft = np.stack([self.maps[case].attention[s] for case, s in drawn])
            batch.text = apply_to_labels(torch.from_numpy(text).long().to(self.device), moved)
            # The token grid covers the same field, so the change applies to it directly.
            batch.text_soft = F.grid_sample(
                torch.from_numpy(soft).float().to(self.device),
                moved.grid.to(self.device),
                padding_mode="border",
                align_corners=False,
            )
        if decoded is not None:
            batch.decoded, sure = (
                apply_to_labels(torch.from_numpy(planes).long().to(self.device), moved)
                for planes in (
                    np.stack([decoded[case].labels[s] for case, s in drawn]),
                    np.stack([decoded[case].level_sure[s] for case, s in drawn]),
                )
            )
            batch.level_sure = sure == 1
            if self.phantoms:
                batch.decoded_hidden = self.phantoms.may_hide(batch.decoded, 0)


def _part(drawn: list[tuple[str, int]], index: int, size: int) -> list[tuple[str, int]]:
    return drawn[index * size : (index + 1) * size]
