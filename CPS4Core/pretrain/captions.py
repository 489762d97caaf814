"""Captions of slices: the study's template with the names of all classes that a slice shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.schema import IGNORE_INDEX, LabelSchema


@dataclass
class Captions:
    """The U different captions of a batch of B slices; slices that show the same share one.

    `texts` and `names`: each caption, and the part of it that names classes; `of` [B]: which
    caption a slice has; `present` [B, K] bool: the classes of a slice, the background alone where
    it shows no structure.
    """

    texts: list[str]
    names: list[str]
    of: Tensor
    present: Tensor

    @property
    def positives(self) -> Tensor:
        """Which captions belong to which slice [B, U] bool; a caption may belong to several."""
        return F.one_hot(self.of, len(self.texts)).bool()

    @property
    def classes(self) -> Tensor:
        """The classes that each caption names [U, K] bool."""
        first = [int((self.of == u).nonzero()[0]) for u in range(len(self.texts))]
        return self.present[first]


def make_captions(labels: Tensor, schema: LabelSchema) -> Captions:
    """Captions of class indices [B, h, w]; what is ignored there is not named.

    Names are full names in the schema's order; prompts that a structure has of its own are whole
    sentences and cannot be listed.
    """
    present = shown(labels, schema.class_count)
    full = [schema.background, *(s.full_name for s in schema.structures)]
    listed = [_listed([full[c] for c in row.nonzero()[:, 0].tolist()]) for row in present.cpu()]
    names = list(dict.fromkeys(listed))
    of = torch.tensor([names.index(name) for name in listed], device=labels.device)
    return Captions([schema.fill(name) for name in names], names, of, present)


def shown(labels: Tensor, class_count: int) -> Tensor:
    """Which classes each image shows: [B, h, w] -> [B, K] bool; the background if no structure."""
    known = labels.masked_fill(labels == IGNORE_INDEX, 0).flatten(1)
    present = torch.zeros(len(labels), class_count, dtype=torch.bool, device=labels.device)
    present.scatter_(1, known, True)
    present[:, 0] = ~present[:, 1:].any(dim=1)
    return present


def _listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
