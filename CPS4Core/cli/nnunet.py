"""`cps4 nnunet`: nnU-Net v2 on the labelled cases of a study, as an outside peer."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress

HELP = "train nnU-Net v2 on the labelled cases alone and read its predictions back"
EXAMPLE = """
cps4 nnunet my_study --output runs/nnunet --labelled 5%
cps4 nnunet my_study --output runs/nnunet --labelled 5% --configuration 2d --print
cps4 evaluate runs/nnunet/found my_study --split test --output runs/nnunet/scores
nnU-Net is optional: pip install nnunetv2. Run the same command again after an interruption.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", type=Path, metavar="STUDY", help="the study's folder")
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--labelled", "-l", default="all", metavar="N|N%|all", help="labelled cases (%(default)s)"
    )
    parser.add_argument("--order", default="0", help="labelled order of the splits (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the split where the study has none (%(default)s)"
    )
    parser.add_argument(
        "--cases",
        choices=("test", "held-out"),
        default="test",
        help="what is predicted: test cases, or the validation cases and those training cases "
        "that have a label this run does not see (%(default)s)",
    )
    parser.add_argument(
        "--configuration", default="3d_fullres", help="nnU-Net's: 2d, 3d_fullres (%(default)s)"
    )
    parser.add_argument(
        "--trainer",
        default="nnUNetTrainer",
        help="nnU-Net's: nnUNetTrainer_100epochs, nnUNetTrainerNoMirroring, ... (%(default)s)",
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu", "mps"), default="auto")
    parser.add_argument(
        "--processes", type=int, default=2, help="for its preprocessing (%(default)s)"
    )
    parser.add_argument(
        "--print", action="store_true", help="show nnU-Net's commands and do nothing"
    )


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Train and predict; returns 0."""
    from CPS4Core.peers.nnunet import NnUNet
    from CPS4Core.study.export import data_set_name
    from CPS4Core.study.folder import Study

    study = Study.open(args.study)
    selection = study.select(args.labelled, args.order, args.seed)
    held = args.cases == "held-out"
    cases = study.held_out(selection) if held else study.tested(selection)
    if not cases:
        raise CPS4Error(
            f"The study has no {args.cases} cases to predict",
            path=args.study,
            cure="Choose --cases held-out or test, or make splits with cps4 study split",
        )
    peer = NnUNet(
        args.output,
        study,
        selection,
        tuple(case.id for case in cases),
        args.configuration,
        args.trainer,
        _device(args.device),
        args.processes,
    )
    if args.print:
        for text in peer.script(data_set_name(study, peer.number)):
            print(text)
        return 0
    found = peer.run(progress)
    progress.message(
        f"Predictions: {found}. Next: cps4 evaluate {found} {args.study} --allow-missing "
        f"--output {args.output / 'scores'}"
    )
    return 0


def _device(name: str) -> str:
    if name != "auto":
        return name
    from CPS4Core.device import find_device

    return find_device("auto").type
