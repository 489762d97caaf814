"""`cps4 maps`: what each class prompt attends to."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "make prompt maps of volumes: per prompt the soft map, Otsu's threshold, the integrated map"
EXAMPLE = """
cps4 maps scan.nii.gz --model runs/first --output maps
cps4 maps scan.nii.gz --model runs/first --output maps --prompt "the sacrum"
cps4 evaluate maps/integrated my_study/labelsTr --output maps_quality
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders"
    )
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder for the maps")
    parser.add_argument(
        "--model", "-m", type=Path, help="model or run folder, or the name of an installed model"
    )
    parser.add_argument(
        "--prompt", action="append", metavar="TEXT", help="a prompt of your own; repeatable"
    )
    parser.add_argument(
        "--classes",
        help="names of the maps to save as volumes, comma-separated; all; none (default)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--overwrite", action="store_true", help="make finished cases again")
    parser.add_argument(
        "--no-pictures", action="store_true", help="leave out the picture of each case"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Make the maps; returns 1 if a case failed."""
    from CPS4Core.prompt_maps.batch import map_volumes

    return map_volumes(
        args.inputs,
        args.output,
        args.model,
        prompts=args.prompt,
        classes=args.classes,
        device=args.device,
        overwrite=args.overwrite,
        threads=args.threads,
        pictures=not args.no_pictures,
        progress=progress,
    )
