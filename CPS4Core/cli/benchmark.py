"""`cps4 benchmark`: speed and memory on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress

HELP = "measure how fast this machine segments and trains, against the project's targets"
EXAMPLE = """
cps4 benchmark
cps4 benchmark --sizes 512x256,512 --repeats 3 --output benchmark.json
The targets were set for two idle Zen 4 cores and a network of 400 GFLOP for 15 x 512 x 512.
On a busy machine trust the ratios more than the times, and give --threads 1.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="write the figures as JSON"
    )
    parser.add_argument(
        "--sizes",
        default="512,1024",
        metavar="N,N",
        help="sizes of the volume's slices and the network's image; 512x256 cuts the image to the "
        "middle as the paper does (default: 512,1024)",
    )
    parser.add_argument("--slices", type=int, default=15, metavar="N", help="(default: 15)")
    parser.add_argument(
        "--widths",
        default="32,64,128,256,512",
        metavar="N,N,...",
        help="channels of the network's levels (default: the paper's, 32,64,128,256,512; "
        "16,32,64,128,256 is a quarter of the work)",
    )
    parser.add_argument(
        "--repeats", type=int, default=2, metavar="N", help="the best of N counts (default: 2)"
    )
    parser.add_argument("--no-training", action="store_true", help="leave the training steps out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Measure, print the table, write the JSON; 0 whether targets are met or not."""
    from CPS4Core.benchmark.run import Plan, as_json, as_table, run_benchmark
    from CPS4Core.cli.info import describe_device, versions
    from CPS4Core.files import write_json

    plan = Plan(
        sizes=[_size(part) for part in args.sizes.split(",")],
        slices=args.slices,
        widths=_numbers("--widths", args.widths),
        repeats=max(1, args.repeats),
        device=args.device,
        threads=args.threads,
        train=not args.no_training,
    )
    rows = run_benchmark(plan, progress)
    content = {"versions": versions(), "device": describe_device(), "rows": as_json(rows)}
    if args.output:
        write_json(args.output, content)
    if args.json:
        progress.emit({"event": "benchmark", **content})
    else:
        print(as_table(rows))
    return 0


def _size(text: str) -> tuple[int, int]:
    numbers = _numbers("--sizes", text.replace("x", ","))
    return numbers[0], numbers[-1]


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise CPS4Error(f"{option} is '{text}'", cure="Give whole numbers, separated by commas")
    return numbers
