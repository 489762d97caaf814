"""`cps4 calibrate`: confidences that are probabilities."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "fit a model's confidences to how often it is right, on cases held out from its training"
EXAMPLE = """
cps4 calibrate runs/first my_study
cps4 calibrate runs/first my_study --cases val --levels raw
Then cps4 segment uses MODEL/calibration.json; delete it for confidences by formula.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or run folder")
    parser.add_argument("study", type=Path, metavar="STUDY", help="study with splits.json")
    parser.add_argument(
        "--cases",
        default="val,unlabelled",
        metavar="NAMES",
        help="by comma: val, unlabelled (training cases whose label the model did not get), or "
        "case ids; never test cases or trained ones (default: val,unlabelled)",
    )
    parser.add_argument(
        "--levels",
        choices=("decoded", "raw"),
        default="decoded",
        help="of which --levels of cps4 segment (default: decoded)",
    )
    parser.add_argument(
        "--cut",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="count each case again, cut off above the sacrum, as a spine without an anchor "
        "(default: yes)",
    )
    parser.add_argument(
        "--phantoms",
        type=int,
        default=4,
        metavar="N",
        help="phantoms without a visible sacrum to join, and as many with it (default: 4)",
    )
    parser.add_argument(
        "--sibling",
        type=Path,
        metavar="MODEL",
        help="fit on what this model finds: the same configuration, trained with fewer labels of "
        "the study, so that more cases are held out",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--engine", choices=("auto", "torch", "openvino"), default="auto")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Calibrate and say how much better the confidences are."""
    from CPS4Core.calibration.run import calibrate

    content = calibrate(
        args.model,
        args.study,
        [name.strip() for name in args.cases.split(",") if name.strip()],
        args.levels,
        cut=args.cut,
        phantoms=args.phantoms,
        sibling=args.sibling,
        seed=args.seed,
        device=args.device,
        engine=args.engine,
        threads=args.threads,
        progress=progress,
    )
    progress.message(
        f"Calibrated on {len(content['cases'])} cases, {content['cut_copies']} cut copies and "
        f"{content['phantoms']} phantoms"
    )
    for what, name in (("structure", "Level right"), ("case", "All levels of a volume right")):
        part = content[what]
        losses = ", ".join(f"{k} {v:.3f}" for k, v in part["log_loss"].items())
        progress.message(f"{name}: {part['chosen']} ({losses})")
        after, before = part["held_out"], part["uncalibrated"]
        progress.message(
            f"  {after['count']} in all, {after['right']:.0%} right; on cases left out ECE "
            f"{before['ece']:.3f} -> {after['ece']:.3f}, Brier {before['brier']:.3f} -> "
            f"{after['brier']:.3f}, AUC {before['auc']:.3f} -> {after['auc']:.3f}"
        )
    return 0
