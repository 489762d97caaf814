"""What a method is: a batch in, a dict of named losses out, its state, its inference network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import Stage2Config
from CPS4Core.methods.options import MethodOptions, read_options
from CPS4Core.methods.ramp import ramp
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.registry import Registry
from CPS4Core.schema import IGNORE_INDEX, LabelSchema


@dataclass
class Batch:
    """One step's slices, augmented, on the method's device.

    `images` [L, 1, h, w] in 0..1 and `labels` [L, h, w] class indices; `unlabelled` [U, 1, h, w];
    `text` [U, h, w] the integrated prompt maps and `text_soft` [U, K, h, w] the soft ones, only for
    methods with `needs_prompt_maps`; `decoded` [U, h, w] class indices and `level_sure` [U, h, w]
    bool, the decoded pseudo-labels, only with `pseudo_labels: decoded`. `hidden` [L, K, h, w] bool:
    where in the background of a labelled slice a class may hide that its source does not label;
    None: labels are complete. `decoded_hidden` [U, K, h, w] bool: the same of `decoded`.
    """

    images: Tensor
    labels: Tensor
    unlabelled: Tensor
    text: Tensor | None = None
    text_soft: Tensor | None = None
    decoded: Tensor | None = None
    level_sure: Tensor | None = None
    hidden: Tensor | None = None
    decoded_hidden: Tensor | None = None


@dataclass(frozen=True)
class Cost:
    """What one step costs once the unlabelled slices teach.

    `updates` of the optimiser, `forwards` passes of a batch through an encoder (of student or
    teacher) and `backwards` passes back.
    """

    updates: int = 1
    forwards: int = 1
    backwards: int = 1

    def __str__(self) -> str:
        counts = {"update": self.updates, "forward": self.forwards, "backward": self.backwards}
        return ", ".join(f"{n} {name}{'s' * (n != 1)}" for name, n in counts.items())


class Method(nn.Module):
    """Base of all methods. Its `state_dict` is everything that a resumed run needs.

    `options` are stage 2's, the same for every method; `own` are the method's own, of its class
    `Options`.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    needs_unlabelled: ClassVar[bool] = True
    needs_prompt_maps: ClassVar[bool] = False
    uses_decoded: ClassVar[bool] = False
    """Whether decoded pseudo-labels of whole volumes teach, which `teacher_logits` then gives."""
    cost: ClassVar[Cost] = Cost()
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    own: Any

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__()
        self.network, self.schema, self.options = network, schema, options
        self.own = self.read_options(options)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    steps_done: Tensor

    @classmethod
    def read_options(cls, options: Stage2Config) -> MethodOptions:
        """The method's own options; raises CPS4Error naming the one that is wrong."""
        return read_options(cls.Options, options.options, cls.name)

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The losses of each optimiser update of a step. What comes after a `yield` sees the
        updated network."""
        yield self.losses(batch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named, weighted losses; their sum is minimised. Supervised alone while warming up."""
        return self.supervised_losses(batch) if self.warming_up else self.all_losses(batch)

    @classmethod
    def warms_up_plainly(cls) -> bool:
        """Whether its warm-up trains `network` alone, by the plain loss of the labelled slices: all
        methods of this kind have the same warm-up."""
        return (
            cls.supervised is Method.supervised
            and cls.supervised_losses is Method.supervised_losses
        )

    @property
    def device(self) -> torch.device:
        """Where the network is, and with it whatever a method adds."""
        return next(self.network.parameters()).device

    @property
    def warming_up(self) -> bool:
        """Whether the unlabelled slices do not teach yet."""
        return int(self.steps_done) < self.options.warmup_steps

    def ramp(self, share: float = 1.0) -> float:
        """How far a weight has grown that is full after this share of the training."""
        return ramp(int(self.steps_done), share * self.options.total_steps)

    def supervised_losses(self, batch: Batch) -> dict[str, Tensor]:
        """What the labelled slices alone teach."""
        return {"supervised": self.supervised(self.network(batch.images), batch)}

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of the labelled slices' logits [L, K, h, w]: `CE(f(x_l), y)`, formula (5)."""
        return cross_entropy(logits, batch.labels, batch.hidden)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        """What the method adds to it; each method's own."""
        raise NotImplementedError

    def teacher_logits(self, images: Tensor) -> Tensor:
        """Images [B, 1, h, w] -> the teacher's logits [B, K, h, w]; with `uses_decoded`."""
        raise NotImplementedError

    def after_step(self, step: int) -> None:
        """Called after each optimiser step with the number of steps done (1, 2, ...)."""
        self.steps_done.fill_(step)

    def trained(self) -> list[nn.Parameter]:
        """Parameters that the optimiser updates."""
        return [p for p in self.parameters() if p.requires_grad]

    def inference_network(self) -> ResUNet:
        """The network that validation, the model folder and inference use."""
        return self.network


def cross_entropy(logits: Tensor, target: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Pixel-wise cross-entropy [B, K, h, w] against [B, h, w]; ignored pixels do not count.

    0 where every pixel is ignored. With `hidden` [B, K, h, w] a background pixel may be any of the
    classes that hide there, too: its loss is `-log(p_0 + sum_c p_c)`, the marginal loss of Shi et
    al., Medical Image Analysis 2021 (doi:10.1016/j.media.2021.101979).
    """
    counted = (target != IGNORE_INDEX).sum().clamp_min(1)
    scores = log_probabilities(logits, hidden)
    return F.nll_loss(scores, target, ignore_index=IGNORE_INDEX, reduction="sum") / counted


def log_probabilities(logits: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Log-probabilities [B, K, h, w], the background's with those of the classes `hidden` there."""
    scores = logits.float().log_softmax(dim=1)
    if hidden is None:
        return scores
    together = hidden.clone()
    together[:, 0] = True
    either = scores.masked_fill(~together, -torch.inf).logsumexp(dim=1)
    return torch.cat([either[:, None], scores[:, 1:]], dim=1)


_KNOWN = Registry[Method]("method", "CPS4Core.methods")
register, methods, method_class = _KNOWN.register, _KNOWN.all, _KNOWN.find
"""How a method becomes known by name; all by name; the one of a name."""
