"""What an objective of stage 1 is: it trains the encoders of a class map on labelled slices."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from CPS4Core.config import Config, Stage1Config
from CPS4Core.encoders.class_map import ClassMap, MapForm
from CPS4Core.encoders.text import TextEncoder
from CPS4Core.methods.method import Batch, Cost
from CPS4Core.methods.options import MethodOptions, read_options
from CPS4Core.registry import Registry
from CPS4Core.schema import LabelSchema


class Objective(nn.Module):
    """Base of all objectives. Its `state_dict` is everything that a resumed run needs.

    All of them train the same encoders and linear projections on the same labelled slices. The
    class map is saved with the model; further heads and momentum copies belong to the objective
    and end with the training.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[Cost] = Cost()
    """Of one step; forwards are passes of a batch of images through a vision encoder."""
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    own: Any

    def __init__(
        self, class_map: ClassMap, text: TextEncoder, schema: LabelSchema, options: Stage1Config
    ):
        super().__init__()
        self.class_map, self.text = class_map, text
        self.schema, self.options = schema, options
        self.own = self.read_options(options)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    steps_done: Tensor

    @classmethod
    def read_options(cls, options: Stage1Config) -> MethodOptions:
        """The objective's own options; raises CPS4Error naming the one that is wrong."""
        return read_options(cls.Options, options.options, cls.name, "stage1")

    @classmethod
    def form(cls, config: Config) -> MapForm:
        """The class map that this objective trains."""
        return MapForm()

    def vectors(self) -> Tensor:
        """The K class prompts as unit vectors [K, D]."""
        names = [self.schema.background, *(s.full_name for s in self.schema.structures)]
        return self.class_map.encode_prompts(self.text, self.schema.prompts, names)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The named, weighted losses of the labelled slices; their sum is minimised."""
        raise NotImplementedError

    def started(self) -> None:
        """Called once the encoders have got their first weights from another model."""

    def after_step(self, step: int) -> None:
        """Called after each optimiser step with the number of steps done (1, 2, ...)."""
        self.steps_done.fill_(step)

    def trained(self) -> list[nn.Parameter]:
        """Both encoders, the projections and the objective's own heads."""
        return [p for p in self.parameters() if p.requires_grad]


_KNOWN = Registry[Objective]("objective", "CPS4Core.pretrain", of=" of stage 1")
register, objectives, objective_class = _KNOWN.register, _KNOWN.all, _KNOWN.find
"""How an objective becomes known by name; all by name; the one of a name."""
