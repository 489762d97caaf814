"""`cps4 demo`: the whole way on made-up scans, by the same commands that a user types."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "make a phantom study, train both stages, segment unseen phantoms and write a report"
EXAMPLE = """
cps4 demo --output demo
"""

# Sizes that a laptop finishes in three minutes; every command below can be repeated with others.
TRAINING = (
    "augmentation.rotation=5",
    "augmentation.scale=[0.95,1.05]",
    "augmentation.shift=0.03",
    "augmentation.elastic_probability=0",
    "stage1.epochs=12",
    "stage2.epochs=60",
    "stage2.warmup=0.85",
    "stage2.validate_every=6",
    "stage2.labelled_batch=4",
    "phantoms.count=0",  # the study is made of phantoms already
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output", "-o", type=Path, default=Path("demo"), help="folder (default: demo)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of phantoms and training")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Run the demo; returns the first exit code that is not 0."""
    from CPS4Core.phantom import write_phantom_study

    began = time.monotonic()
    root: Path = args.output
    study, model = root / "study", root / "run"
    progress.message("Making a phantom study: 6 labelled, 6 unlabelled, 2 validation, 3 test cases")
    write_phantom_study(
        study, 6, 6, 2, 3, 192, args.seed, progress, sacrum_visible=True, contrast=0.3
    )
    test = [study / "imagesTr" / f"{case}_0000.nii.gz" for case in _test_cases(study)]
    threads = ["--threads", str(args.threads)] if args.threads else []
    sets = [part for option in TRAINING for part in ("--set", option)]
    steps = [
        ["train", study, "-o", model, "-p", "cpu", "--seed", args.seed, *threads, *sets],
        ["segment", *test, "-o", root / "segmentations", "-m", model],
        ["maps", *test, "-o", root / "maps", "-m", model, *threads],
        ["evaluate", root / "segmentations", study, "--split", "test", "-o", root / "evaluation"],
        ["report", model, root / "segmentations", root / "maps", root / "evaluation"],
    ]
    steps[-1] += ["-o", root / "report.html"]
    for step in steps:
        code = _run_command([str(part) for part in step], args, progress)
        if code:
            return code
    progress.message(f"Done in {time.monotonic() - began:.0f} s. Open {root / 'report.html'}")
    return 0


def _test_cases(study: Path) -> tuple[str, ...]:
    from CPS4Core.study.folder import Study

    return Study.open(study).select().test


def _run_command(arguments: list[str], args: argparse.Namespace, progress: Progress) -> int:
    """Run one command in this process, with its line shown so that it can be typed again."""
    from CPS4Core.cli.main import build_parser, load_command

    progress.message("\n$ cps4 " + shlex.join(arguments))
    parsed = build_parser(arguments[0]).parse_args(arguments)
    parsed.json, parsed.quiet = args.json, args.quiet
    return load_command(arguments[0]).run(parsed, progress)
