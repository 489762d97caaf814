"""The one training loop: fixed iterations an epoch, validation, best and last, exact resume.

Everything random in an epoch is seeded by the run's seed and the epoch's number, so that a run
that was stopped anywhere and resumed at the last finished epoch equals the unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from CPS4Core.device import Precision
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder
from CPS4Core.progress import Progress
from CPS4Core.training import processes
from CPS4Core.training.checkpoint import load_checkpoint, load_into, save_checkpoint
from CPS4Core.training.logs import MetricsLog

LAST = "last.safetensors"


def is_begun(folder: Path) -> bool:
    """Whether a stage's folder holds a state to go on from."""
    return (folder / LAST).is_file()


class Trainable(Protocol):
    """What the loop needs of a method or of stage 1."""

    def losses(self, batch: Any) -> dict[str, Tensor]: ...
    def after_step(self, step: int) -> None: ...
    def trained(self) -> list[nn.Parameter]: ...


@dataclass
class Plan:
    """How long and how a stage trains; `stop_after` ends it after fewer than its `epochs`."""

    epochs: int
    validate_every: int
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | torch.optim.lr_scheduler.ReduceLROnPlateau
    seed: int
    stop_after: int | None = None


class TrainingLoop:
    """Trains `module` on the batches of `epoch_batches(epoch)`; keeps the best and last state.

    `validate` returns named numbers, among them `mdice`, by which the best state is chosen, or an
    empty dict where there is nothing to validate on (then the last state is the best).
    `best_state` gives the tensors that are worth keeping of the best epoch. `updates` gives the
    losses of each optimiser update that a batch asks for; without it there is one, of `losses`.
    """

    def __init__(
        self,
        module: nn.Module,
        plan: Plan,
        epoch_batches: Callable[[int], Iterator[Any]],
        validate: Callable[[], dict[str, float]],
        best_state: Callable[[], dict[str, Tensor]],
        precision: Precision,
        folder: Path,
        task: str,
        progress: Progress,
        updates: Callable[[Any], Iterator[dict[str, Tensor]]] | None = None,
    ):
        self.updates = updates or self._one_update
        self.module, self.plan, self.epoch_batches = module, plan, epoch_batches
        self.validate, self.best_state, self.precision = validate, best_state, precision
        self.folder, self.task, self.progress = make_folder(folder), task, progress
        self.scaler = precision.scaler()
        self.epoch, self.step, self.best = 0, 0, -math.inf

    @property
    def last_file(self) -> Path:
        """The state after the last finished epoch."""
        return self.folder / LAST

    @property
    def best_file(self) -> Path:
        """The tensors of the epoch that validated best."""
        return self.folder / "best.safetensors"

    def run(self) -> dict[str, Any]:
        """Train to the last epoch; returns the best epoch's tensors and validation, nothing where
        the plan stops earlier."""
        if self.last_file.is_file():
            self._resume()
        log = MetricsLog(self.folder, self.epoch + 1) if processes.is_first() else None
        try:
            last = self.plan.epochs if self.plan.stop_after is None else self.plan.stop_after
            epochs = range(self.epoch, last)
            for _ in self.progress.track(epochs, self.task, last, self.epoch):
                began = time.monotonic()
                values = self._train_epoch()
                values |= self._validate_if_due()
                self._advance_schedule(values)
                values["seconds"] = time.monotonic() - began
                if log is not None:
                    log.add(self.epoch, values)
                    self.progress.metric(self.task, self.epoch, **values)
                    self._save()
        finally:
            if log is not None:
                log.close()
        processes.wait_for_all()  # until the first one has written
        return {} if self.plan.stop_after is not None else load_checkpoint(self.best_file)

    def _train_epoch(self) -> dict[str, float]:
        torch.manual_seed(epoch_seed(processes.own_seed(self.plan.seed), self.epoch))
        self.module.train()
        sums: dict[str, float] = {}
        count = 0
        for batch in self.epoch_batches(self.epoch):
            self._stop_if_asked()
            for name, value in self._train_step(batch).items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
        self.epoch += 1
        processes.share_buffers(self.module)
        means = {f"loss/{name}": value / count for name, value in sums.items()}
        means = processes.mean_of(means, self.precision.device)
        return means | {"lr": self.plan.optimiser.param_groups[0]["lr"]}

    def _train_step(self, batch: Any) -> dict[str, float]:
        trainable: Trainable = self.module  # type: ignore[assignment]
        values = {"total": 0.0}
        updates = self.updates(batch)
        while True:
            with self.precision.autocast():
                losses = next(updates, None)
            if losses is None:
                break
            total = torch.stack([value.float() for value in losses.values()]).sum()
            found = {name: value.item() for name, value in losses.items()}
            self._refuse_divergence({f"loss '{name}'": v for name, v in found.items()})
            values["total"] += total.item()
            values |= found
            self._update(total, ", ".join(losses))
        self.step += 1
        trainable.after_step(self.step)
        return values

    def _one_update(self, batch: Any) -> Iterator[dict[str, Tensor]]:
        trainable: Trainable = self.module  # type: ignore[assignment]
        yield trainable.losses(batch)

    def _update(self, total: Tensor, terms: str) -> None:
        self.plan.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        groups = self.plan.optimiser.param_groups
        processes.average_gradients(p for group in groups for p in group["params"])
        if not self.scaler.is_enabled():  # it leaves out such updates itself
            gradients = [p.grad for g in groups for p in g["params"] if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            self._refuse_divergence({f"gradient of the loss ({terms})": norm.item()})
        self.scaler.step(self.plan.optimiser)
        self.scaler.update()

    def _stop_if_asked(self) -> None:
        """Raise Cancelled if somebody asked to stop, in all processes together."""
        if processes.any_of(self.progress.cancelled, self.precision.device):
            self.progress.cancel()
        self.progress.check()

    def _refuse_divergence(self, numbers: dict[str, float]) -> None:
        """Stop before a number that is none reaches the weights."""
        bad = [f"{what} became {v}" for what, v in numbers.items() if not math.isfinite(v)]
        if processes.any_of(bool(bad), self.precision.device):
            where = bad[0] if bad else "loss of another process became infinite or none"
            raise CPS4Error(
                f"The {where} at step {self.step + 1}, in epoch {self.epoch + 1} of {self.task}",
                path=self.folder,
                cure="Lower the learning rate or use --precision fp32; the last finished epoch "
                "is kept",
            )

    def _validate_if_due(self) -> dict[str, float]:
        due = self.epoch % self.plan.validate_every == 0 or self.epoch == self.plan.epochs
        found: dict[str, float] = {}
        if due and processes.is_first():
            self.module.eval()
            with torch.inference_mode(), self.precision.autocast():
                found = self.validate()
        if due:
            found = processes.from_first(found)
        score = found.get("mdice")
        if score is not None and score > self.best:
            self.best = score
            self._save_best(found)
        elif due and self.best == -math.inf:
            self._save_best(found)
        return {f"validation/{name}": value for name, value in found.items()}

    def _save_best(self, found: dict[str, float]) -> None:
        if not processes.is_first():
            return
        save_checkpoint(
            self.best_file,
            {"tensors": self.best_state(), "epoch": self.epoch, "validation": found},
        )

    def _advance_schedule(self, values: dict[str, float]) -> None:
        if isinstance(self.plan.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.plan.schedule.step(values["loss/total"])
        else:
            self.plan.schedule.step()

    def _save(self) -> None:
        save_checkpoint(
            self.last_file,
            {
                "module": self.module.state_dict(),
                "optimiser": self.plan.optimiser.state_dict(),
                "schedule": self.plan.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "epoch": self.epoch,
                "step": self.step,
                "best": self.best,
            },
        )

    def _resume(self) -> None:
        self.restore(load_checkpoint(self.last_file), self.last_file)
        self.progress.message(f"{self.task}: going on after epoch {self.epoch}")

    def restore(self, state: dict[str, Any], source: Path) -> None:
        """Go on from a state as `last_file` holds it; `source` is named where it does not fit."""
        load_into(self.module, state["module"], source)
        self.plan.optimiser.load_state_dict(state["optimiser"])
        self.plan.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]


def epoch_seed(seed: int, epoch: int) -> int:
    """One seed for all that is random in an epoch."""
    return (seed * 1_000_003 + epoch * 7919) % (2**63 - 1)
