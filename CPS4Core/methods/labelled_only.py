"""The control: supervised training on the labelled slices alone."""

from __future__ import annotations

from torch import Tensor

from CPS4Core.methods.method import Batch, Method, register


@register("labelled-only", "control: cross-entropy on the labelled slices")
class LabelledOnly(Method):
    """`L = CE(f(x_l), y)`, formula (5) alone."""

    needs_unlabelled = False

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.supervised_losses(batch)
