"""`cps4 train`: both stages on a study."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.cli.training_options import add_training_options, make_run
from CPS4Core.progress import Progress

HELP = "train a model on a study: stage 1 (prompts), then stage 2 (segmentation)"
EXAMPLE = """
cps4 train my_study --output runs/first --preset best --labelled 5%
cps4 train my_study --output runs/mine --preset best --from starter
cps4 train my_study --output runs/teacher --method mean-teacher --labelled 5%
Run the same command again to go on after an interruption.
On several GPUs (or machines: see torchrun --help):
torchrun --nproc-per-node 4 -m CPS4Core train my_study --output runs/large --preset paper
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_training_options(parser)
    parser.add_argument(
        "--method", help="what to train (default: the preset's, cps4); 'cps4 methods' lists them"
    )
    parser.add_argument(
        "--pretrained", type=Path, help="take stage 1 from this run or pretrained model"
    )
    parser.add_argument(
        "--warmed-up",
        type=Path,
        metavar="RUN",
        help="go on from the warm-up that another run made with --stage warmup",
    )
    parser.add_argument(
        "--stage",
        choices=("both", "1", "2", "warmup"),
        default="both",
        help="run one stage only; warmup: stage 2 until the unlabelled cases would join",
    )


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Train; returns 0."""
    from CPS4Core.methods.rows import trainable_row
    from CPS4Core.training.processes import leave_processes

    overrides = trainable_row(args.method, args.labelled).overrides if args.method else []
    training = make_run(args, overrides, args.pretrained, args.warmed_up)
    if args.stage == "warmup":
        training.warmup(progress)
        leave_processes()
        progress.message(f"Warm-up for cps4 train --warmed-up: {args.output}")
        return 0
    info = training.stage1(progress) if args.stage == "1" else training.stage2(progress)
    leave_processes()
    for stage, found in info.metrics.items():
        shown = ", ".join(f"{k} {v:.3f}" for k, v in found["validation"].items())
        progress.message(f"{stage}: best epoch {found['epoch']}; validation {shown or 'none'}")
    progress.message(f"Model ({info.method}; {info.encoder_weights}): {info.folder}")
    return 0
