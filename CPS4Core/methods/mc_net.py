"""Mutual consistency: decoders that raise their levels differently are to agree."""

from __future__ import annotations

from itertools import permutations
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from CPS4Core.config import Share, Stage2Config
from CPS4Core.methods.dice import labelled_dice
from CPS4Core.methods.method import Batch, Method, cross_entropy, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.networks.decoder import Decoder
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


@register("mc-net", "Wu et al., MICCAI 2021")
class MCNet(Method):
    """`L = sum_d Dice(p_d(x_l), y) + w(t) sum_{i != j} mean[(p_i - S(p_j))^2]`.

    `p_d` the softmax of decoder d on one shared encoder; `S` sharpens; the second sum runs over
    labelled and unlabelled slices, its gradient through both sides. `w(t)` ramps up to
    `consistency` over the whole training. Two decoders: the network's own (transposed convolution)
    and a bilinear one. Inference uses the encoder and the network's own decoder.
    Deviations: a Dice loss with its factor 2, which the authors' 2D code lacks; the decoder of
    inference is the transposed one, so that every row of a comparison infers by the same network
    (theirs: bilinear). `cross_entropy` adds that loss, which their code computes and never uses.
    """

    class Options(MethodOptions):
        consistency: Weight = 0.1
        ramp: Share = 1.0
        """Share of the training in which the weight of consistency grows."""
        temperature: Annotated[float, Field(gt=0, le=1)] = 0.1
        """Of the sharpening."""
        cross_entropy: Weight = 0.0
        """Weight of cross-entropy beside Dice on labelled slices."""

    own: Options
    further: ClassVar[tuple[str, ...]] = ("bilinear",)

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        self.decoders = nn.ModuleList(
            Decoder(network.class_count, network.widths, kind) for kind in self.further
        ).to(self.device)

    def logits(self, images: Tensor) -> list[Tensor]:
        """Each decoder's logits [B, K, h, w], the network's own first."""
        levels = self.network.encode(images)
        own = self.network.head(self.network.decode(levels))
        return [own, *(decoder(levels) for decoder in self.decoders)]

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        loss = labelled_dice(logits, batch.labels, batch.hidden)
        if self.own.cross_entropy:
            loss = loss + self.own.cross_entropy * cross_entropy(logits, batch.labels, batch.hidden)
        return loss

    def supervised_losses(self, batch: Batch) -> dict[str, Tensor]:
        each = [self.supervised(logits, batch) for logits in self.logits(batch.images)]
        return {"supervised": torch.stack(each).sum()}

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        views = self.logits(torch.cat([batch.images, batch.unlabelled]))
        each = [self.supervised(logits[: len(batch.images)], batch) for logits in views]
        probabilities = [logits.float().softmax(dim=1) for logits in views]
        distances = [
            (p - sharpened(q, self.own.temperature)).square().mean()
            for p, q in permutations(probabilities, 2)
        ]
        weight = self.own.consistency * self.ramp(self.own.ramp)
        return {
            "supervised": torch.stack(each).sum(),
            "consistency": weight * torch.stack(distances).sum(),
        }


@register("mc-net-plus", "Wu et al., Medical Image Analysis 2022")
class MCNetPlus(MCNet):
    """MC-Net with three decoders: the third raises its levels by the nearest neighbour."""

    further = ("bilinear", "nearest")


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """`S(p) = p^(1/T) / (p^(1/T) + (1 - p)^(1/T))` for every class; not renormalised over them."""
    high = probabilities ** (1 / temperature)
    return high / (high + (1 - probabilities) ** (1 / temperature))
