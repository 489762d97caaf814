"""The options that `cps4 train` and `cps4 pretrain` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CPS4Core.training.run import Run


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "study", type=Path, metavar="STUDY", help="study folder (nnU-Net raw layout)"
    )
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--preset",
        "-p",
        default="best",
        help="paper, best, cpu, or a YAML file (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="change one option of the preset, for example stage2.epochs=50; repeatable",
    )
    parser.add_argument(
        "--labelled",
        "-l",
        default="all",
        help="how many training cases keep their label: a number, 5%%, or all (default: all)",
    )
    parser.add_argument(
        "--order", default="0", help="which labelled order of splits.json (default: 0)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of everything random (default: 0)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:0, mps (default: auto)"
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="number format",
    )
    parser.add_argument(
        "--allow-download",
        action="store_true",
        help="let pretrained encoders come from the hub; otherwise only local ones are used",
    )
    parser.add_argument(
        "--from",
        dest="initial",
        type=Path,
        metavar="MODEL",
        help="begin with the weights of this model (run folder, model folder or installed name): "
        "network, and encoders of the same architecture",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--cache", type=Path, help="folder of the slice cache (default: in STUDY)")


def make_run(
    args: argparse.Namespace,
    overrides: list[str],
    pretrained: Path | None = None,
    warmed_up: Path | None = None,
) -> Run:
    """The run that the arguments describe."""
    if not args.allow_download:
        # Read by the hub's client at its import, which comes later.
        os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from CPS4Core.config import load_config
    from CPS4Core.device import choose_precision, find_device
    from CPS4Core.study.folder import Study
    from CPS4Core.training.processes import join_processes
    from CPS4Core.training.run import Run

    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.preset, [*args.set, *overrides])
    return Run(
        folder=args.output,
        study=Study.open(args.study),
        config=config,
        labelled=args.labelled,
        order=args.order,
        seed=args.seed,
        precision=choose_precision(join_processes(find_device(args.device)), args.precision),
        cache=args.cache,
        pretrained=pretrained,
        initial=args.initial,
        warmed_up=warmed_up,
    )
