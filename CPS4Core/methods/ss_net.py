"""SS-Net: smooth predictions, and classes apart in the space of pixel features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CPS4Core.config import Positive, Share, Stage2Config
from CPS4Core.methods.class_contrast import ClassMemory, ClassScores, contrast, mlp, pick_pixels
from CPS4Core.methods.dice import dice_loss, labelled_dice
from CPS4Core.methods.method import Batch, Cost, Method, cross_entropy, register
from CPS4Core.methods.options import MethodOptions, Weight
from CPS4Core.methods.virtual_adversarial import adversarial_direction, frozen_statistics
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


@register("ss-net", "Wu et al., MICCAI 2022")
class SSNet(Method):
    """`L = Dice(f(x_l), y) + w(t) [L_vat + 0.1 (L_con^l + L_con^u)]`, w ramping up to
    `consistency`.

    `L_vat = Dice(softmax f(x + 6 d), softmax f(x))` over all slices, d the virtual adversarial
    direction of one power step (`x + 10 d`), batch statistics not remembered. `L_con = 1/C sum_c
    mean_ij w_i (1 - cos(q_i, m_j))`: q_i predicted features of pixels of class c (true labels, or
    the network's own without a threshold), m_j the at most 32 remembered features of correctly
    predicted labelled pixels, `w_i = M s_i / sum s` from a score s_i that is learned for each class
    and gives q no gradient. Inference uses the network alone.
    Deviations: at most `pixels` of each class are drawn from a batch (the authors take all of its
    million); the scores' batch norm runs over all drawn pixels; memories are drawn at random, since
    the authors' ranking score gets no gradient and its weight in the sum is 1 throughout.
    `cross_entropy` adds that loss, which their code computes and never uses.
    """

    class Options(MethodOptions):
        consistency: Weight = 0.1
        ramp: Share = 1.0
        probe: Weight = 10.0
        """Length of the step at which the direction is looked for."""
        reach: Weight = 6.0
        """Length of the change that the prediction is to withstand."""
        contrast: Weight = 0.1
        memory: Positive = 32
        pixels: Positive = 128
        cross_entropy: Weight = 0.0

    own: Options
    cost = Cost(forwards=3, backwards=2)

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        width = network.widths[0]
        self.project, self.predict = (mlp(width).to(self.device) for _ in range(2))
        self.scores = nn.ModuleDict(
            {part: ClassScores(width, network.class_count) for part in ("labelled", "unlabelled")}
        ).to(self.device)
        self.memory = ClassMemory(network.class_count, self.own.memory, width).to(self.device)

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        loss = labelled_dice(logits, batch.labels, batch.hidden)
        if self.own.cross_entropy:
            loss = loss + self.own.cross_entropy * cross_entropy(logits, batch.labels, batch.hidden)
        return loss

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        images, count = torch.cat([batch.images, batch.unlabelled]), len(batch.images)
        features = self.network.decode(self.network.encode(images))
        logits = self.network.head(features)
        weight = self.own.consistency * self.ramp(self.own.ramp)
        self.remember(features[:count], logits[:count], batch.labels)
        contrasts = [
            self.contrast_loss(features[:count], batch.labels, "labelled"),
            self.contrast_loss(features[count:], logits[count:].argmax(dim=1), "unlabelled"),
        ]
        return {
            "supervised": self.supervised(logits[:count], batch),
            "adversarial": weight * self.adversarial_loss(images, logits),
            "contrast": weight * self.own.contrast * torch.stack(contrasts).sum(),
        }

    def adversarial_loss(self, images: Tensor, logits: Tensor) -> Tensor:
        """`L_vat`; the clean prediction is that of the step's first pass, without a gradient."""
        clean = logits.detach().float().softmax(dim=1)

        def distance(changed: Tensor) -> Tensor:
            return dice_loss(self.network(changed).float().softmax(dim=1), clean)

        with frozen_statistics(self.network):
            direction = adversarial_direction(images, distance, self.own.probe)
            return distance(images + self.own.reach * direction)

    @torch.no_grad()
    def remember(self, features: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Renew the memory by this batch's labelled pixels that are predicted correctly."""
        right = torch.where(logits.argmax(dim=1) == labels, labels, 0)
        rows, classes = pick_pixels(features, right, self.own.memory)
        if len(rows):
            self.memory.renew(self.project.eval()(rows), classes)
            self.project.train()

    def contrast_loss(self, features: Tensor, labels: Tensor, part: str) -> Tensor:
        """`L_con` of features [B, C, h, w] by labels [B, h, w]; 0 where no class is remembered."""
        known = torch.where(self.memory.knows(labels), labels, 0)
        rows, classes = pick_pixels(features, known, self.own.pixels)
        if len(rows) < 2:  # of which batch norm can make no statistics
            return features.sum() * 0
        queries = self.predict(self.project(rows))
        scores = self.scores[part](queries.detach(), classes)
        return contrast(queries, scores, classes, self.memory)
