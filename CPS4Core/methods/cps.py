"""Cross pseudo supervision: two networks label for each other."""

from __future__ import annotations

import torch
from torch import Tensor

from CPS4Core.config import Share, Stage2Config
from CPS4Core.methods.dice import cross_entropy_and_dice
from CPS4Core.methods.method import Batch, Cost, Method, cross_entropy, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.second_network import second_network
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


@register("cps", "Chen et al., CVPR 2021; as in the SSL4MIS benchmark")
class CPS(Method):
    """`L = sum_k 1/2 (CE + Dice)(f_k(x_l), y) + w(t) sum_k CE(f_k(x_u), argmax f_j(x_u))`, j != k.

    `w(t)` ramps up to `consistency` over the whole training. Inference uses the first network.
    """

    class Options(MethodOptions):
        consistency: Weight = 0.1
        ramp: Share = 1.0
        """Share of the training in which the weight of the other's labels grows."""

    own: Options
    cost = Cost(forwards=2)

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        self.second = second_network(network)

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        return cross_entropy_and_dice(logits, batch.labels, batch.hidden)

    def supervised_losses(self, batch: Batch) -> dict[str, Tensor]:
        first, second = self.network(batch.images), self.second(batch.images)
        return {"supervised": self.supervised(first, batch) + self.supervised(second, batch)}

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        images, count = torch.cat([batch.images, batch.unlabelled]), len(batch.images)
        first, second = self.network(images), self.second(images)
        weight = self.own.consistency * self.ramp(self.own.ramp)
        crossed = cross_entropy(first[count:], second[count:].argmax(dim=1))
        crossed = crossed + cross_entropy(second[count:], first[count:].argmax(dim=1))
        return {
            "supervised": self.supervised(first[:count], batch)
            + self.supervised(second[:count], batch),
            "cross": weight * crossed,
        }
