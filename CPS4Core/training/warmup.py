"""A warm-up that several methods share: trained once, it is where each of them goes on.

While the unlabelled slices do not teach yet, methods that take the labelled ones alike are the same
training. The state at its end, taken over, equals the method's own warm-up to the last bit.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path, read_json
from CPS4Core.methods.method import Method, method_class, methods
from CPS4Core.options_in_use import options_in_use
from CPS4Core.training.checkpoint import load_checkpoint
from CPS4Core.training.logs import METRICS
from CPS4Core.training.loop import LAST, TrainingLoop

DESCRIPTION = "run.json"
SEEN = ("seed", "labelled", "validation", "processes", "initial")
"""Of a run's description, what its warm-up depends on beside the configuration."""
PARTS = ("input", "augmentation", "network", "phantoms")
STAGE2 = (
    *("epochs", "iterations_per_epoch", "labelled_batch", "learning_rate", "weight_decay"),
    *("milestones", "milestone_factor", "validate_every", "warmup", "ema_decay"),
)


def warmup_part(described: dict[str, Any]) -> dict[str, Any]:
    """Of a run's description what its warm-up depends on: runs that agree in it may share one."""
    config = described["config"]
    return {
        **{name: described.get(name) for name in SEEN},
        **options_in_use({name: config[name] for name in PARTS}),
        **{f"stage2.{name}": config["stage2"][name] for name in STAGE2},
    }


def check_warmup(run: Path, described: dict[str, Any]) -> None:
    """Refuse a warm-up of another training than the one described, naming what differs."""
    if not (run / "stage2" / LAST).is_file():
        raise CPS4Error(
            "There is no warm-up", path=run, cure="Make it with cps4 train --stage warmup"
        )
    before = read_json(run / DESCRIPTION, "description of the run")
    ours, theirs = warmup_part(described), warmup_part({"processes": 1} | before)
    changed = sorted(name for name in ours if ours[name] != theirs[name])
    if changed:
        raise CPS4Error(
            f"The warm-up was made with another {', '.join(changed)}",
            path=run,
            cure="Make it again with this configuration, or train without --warmed-up",
        )
    name = described["config"]["stage2"]["method"]
    if not method_class(name).warms_up_plainly():
        plain = [n for n in methods() if method_class(n).warms_up_plainly()]
        raise CPS4Error(
            f"The method '{name}' warms up in a way of its own",
            cure=f"Train it without --warmed-up; these share one: {', '.join(plain)}",
        )


def go_on_from(run: Path, loop: TrainingLoop, method: Method) -> None:
    """Put a loop that has not begun where the warm-up in `run` ended."""
    folder = run / "stage2"
    state = load_checkpoint(folder / LAST)
    missing = [n for n in method.state_dict() if n not in state["module"]]
    if any(name.startswith(("network.", "teacher.")) for name in missing):
        raise CPS4Error(
            f"The warm-up has no teacher, which '{method.name}' needs",
            path=run,
            cure="Make it with cps4 train --method mean-teacher --stage warmup",
        )
    # What a method adds has not been trained at the end of a warm-up.
    own = method.state_dict()
    state["module"] = {name: state["module"].get(name, tensor) for name, tensor in own.items()}
    groups = loop.plan.optimiser.state_dict()["param_groups"]
    for group, before in zip(groups, state["optimiser"]["param_groups"], strict=True):
        group |= {k: v for k, v in before.items() if k != "params"}
    state["optimiser"]["param_groups"] = groups
    loop.restore(state, folder / LAST)
    for name in (loop.best_file.name, METRICS):
        if (folder / name).is_file():
            with atomic_path(loop.folder / name) as temporary:
                shutil.copyfile(folder / name, temporary)
