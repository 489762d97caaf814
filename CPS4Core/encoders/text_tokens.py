"""What a text encoder says of some texts, and the vectors that can stand for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class TextTokens:
    """Word pieces of T texts, padded to L.

    `layers`: the hidden states [T, L, W], the embeddings' first; `attended` [T, L] bool: all but
    padding; `named` [T, L] bool: the pieces of the class name; `word` [T, L]: which word of the
    text a piece belongs to, -1 for what is no word ([CLS], [SEP], padding).
    """

    layers: tuple[Tensor, ...]
    attended: Tensor
    named: Tensor
    word: Tensor

    def pooled(self, how: str) -> Tensor:
        """One vector a text [T, W].

        `cls`: [CLS]; `class-name-mean`: the mean piece of the class name; `name-words`: the mean
        word of the class name; `layers-mean`: MedCLIP's mean over all tokens of the hidden layers
        1, 2 and last.
        """
        last = self.layers[-1]
        if how == "cls":
            return last[:, 0]
        if how == "class-name-mean":
            return torch.stack(
                [hidden[named].mean(dim=0) for hidden, named in zip(last, self.named, strict=True)]
            )
        if how == "name-words":
            words, _, named = self.words()
            weights = named / named.sum(dim=1, keepdim=True).clamp_min(1)
            return (weights[..., None] * words).sum(dim=1)
        if how == "layers-mean":
            mean = torch.stack([self.layers[i] for i in (1, min(2, len(self.layers) - 1), -1)])
            attended = self.attended[..., None]
            return (mean.mean(dim=0) * attended).sum(dim=1) / attended.sum(dim=1)
        raise ValueError(f"no text pooling '{how}'")

    def words(self) -> tuple[Tensor, Tensor, Tensor]:
        """Words, their pieces summed [T, V, W]; which of them are there, and name, [T, V] bool."""
        belongs = F.one_hot(self.word + 1)[..., 1:].float()  # pieces x words
        words = torch.einsum("tlv,tlw->tvw", belongs, self.layers[-1].float())
        there = belongs.sum(dim=1) > 0
        named = (belongs * self.named[..., None]).sum(dim=1) > 0
        return words, there, named
