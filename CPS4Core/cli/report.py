"""`cps4 report`: runs, segmentations, prompt maps and evaluations as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "Write one HTML file with the pictures, curves and tables of the given folders."
EXAMPLE = """
cps4 report runs/first predictions/ scores/ --output report.html
cps4 report predictions/ --output check.html --pictures 100
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="training run, segmentation, prompt map or evaluation folder, or one that holds these",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="FILE.html",
        help="the report; an earlier report of this name is replaced",
    )
    parser.add_argument("--title", default="CPS4 report", help="heading (default: CPS4 report)")
    parser.add_argument(
        "--pictures",
        type=int,
        metavar="N",
        help="cases with pictures in each part, doubtful ones first (default: 40)",
    )


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Write the report."""
    from CPS4Core.errors import CPS4Error
    from CPS4Core.report.folders import DEFAULT_PICTURES, report_sections
    from CPS4Core.report.html import check_output, write_report

    pictures = DEFAULT_PICTURES if args.pictures is None else args.pictures
    if pictures < 0:
        raise CPS4Error(f"--pictures is {pictures}", cure="Give 0 or more")
    check_output(args.output)  # known before the work begins
    write_report(args.output, args.title, report_sections(args.folders, pictures, progress))
    progress.message(f"Report: {args.output}")
    return 0
