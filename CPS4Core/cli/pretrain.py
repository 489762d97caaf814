"""`cps4 pretrain`: stage 1 alone."""

from __future__ import annotations

import argparse

from CPS4Core.cli import train
from CPS4Core.cli.training_options import add_training_options
from CPS4Core.progress import Progress

HELP = "run stage 1 alone: tie the class prompts to image patches on the labelled cases"
EXAMPLE = """
cps4 pretrain my_study --output runs/prompts --preset best --labelled 5%
cps4 train my_study --output runs/model --preset best --labelled 5% --pretrained runs/prompts
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_training_options(parser)


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Pretrain; returns 0."""
    args.method, args.pretrained, args.warmed_up, args.stage = None, None, None, "1"
    return train.run(args, progress)
