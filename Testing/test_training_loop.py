"""The training loop by itself: several updates a step, and a loss that diverges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from CPS4Core.device import choose_precision
from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.training.checkpoint import load_checkpoint
from CPS4Core.training.loop import Plan, TrainingLoop


class OneWeight(nn.Module):
    """A weight that is pulled to 0 by two terms; from `bad_step` on one of them is `bad`."""

    def __init__(self, bad=None, bad_step=99):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.bad, self.bad_step, self.step, self.seen = bad, bad_step, 0, []

    def losses(self, batch):
        self.seen.append(self.weight.item())
        found = {"near": self.weight**2, "far": self.weight.abs()}
        if self.step + 1 >= self.bad_step:
            found["far"] = self.bad(self.weight)
        return found

    def after_step(self, step):
        self.step = step


def loop_of(module: nn.Module, folder, updates=None, epochs: int = 3) -> TrainingLoop:
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0)
    return TrainingLoop(
        module,
        Plan(epochs, 1, optimiser, schedule, 0),
        lambda epoch: iter([None, None]),
        dict,
        lambda: dict(module.state_dict()),
        choose_precision(torch.device("cpu"), "fp32"),
        folder,
        "stage 2 (bold)",
        Progress(),
        updates,
    )


def test_several_updates_a_step(tmp_path):
    module = OneWeight()

    def updates(batch):
        yield module.losses(batch)
        yield {f"second-{name}": loss for name, loss in module.losses(batch).items()}

    loop = loop_of(module, tmp_path, updates, epochs=1)
    loop.run()
    assert module.step == 2 and len(module.seen) == 4
    # w <- w - .1 (2 w + 1), four times: the second update of a step saw the first one's weight
    expected = [1.0]
    for _ in range(3):
        expected.append(expected[-1] - 0.1 * (2 * expected[-1] + 1))
    assert module.seen == pytest.approx(expected)
    header, row = (tmp_path / "metrics.csv").read_text().splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    losses = [w**2 + abs(w) for w in expected]
    assert float(values["loss/total"]) == pytest.approx(sum(losses) / 2, rel=1e-4)
    assert float(values["loss/second-near"]) == pytest.approx(
        (expected[1] ** 2 + expected[3] ** 2) / 2, rel=1e-4
    )


def not_a_number(weight):
    return weight * math.nan


def steep(weight):
    """0, and its gradient is none."""
    return (weight * 0).sqrt()


@pytest.mark.parametrize(
    ("bad", "named"),
    [(not_a_number, "loss 'far' became nan"), (steep, "gradient of the loss .*far")],
)
@pytest.mark.parametrize("bad_step", [3, 4])
def test_divergence_stops_before_it_reaches_the_weights(tmp_path, bad, named, bad_step):
    """Also in the last step of an epoch, whose state would be saved next."""
    module = OneWeight(bad, bad_step)
    with pytest.raises(CPS4Error, match=named) as error:
        loop_of(module, tmp_path).run()
    for part in (f"step {bad_step}", "epoch 2", "stage 2 (bold)", "is kept", str(tmp_path)):
        assert part in str(error.value)
    assert torch.isfinite(module.weight)
    kept = load_checkpoint(tmp_path / "last.safetensors")
    assert (kept["epoch"], kept["step"]) == (1, 2)
    assert torch.isfinite(kept["module"]["weight"])


def test_after_divergence_the_run_goes_on_from_the_last_epoch(tmp_path):
    with pytest.raises(CPS4Error):
        loop_of(OneWeight(not_a_number, 4), tmp_path / "broken").run()
    mended = OneWeight()
    loop_of(mended, tmp_path / "broken").run()
    whole = OneWeight()
    loop_of(whole, tmp_path / "whole").run()
    assert torch.equal(mended.weight, whole.weight)
