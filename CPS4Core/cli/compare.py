"""`cps4 compare`: methods x labelled ratios x seeds on a study, and what came of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "train and score several methods at several labelled ratios; tables, curves, pictures"
EXAMPLE = """
cps4 compare my_study --output runs/comparison --preset cpu --jobs 2 --threads 1
cps4 compare my_study --output runs/two --methods mean-teacher cps4 --labelled 5% --seeds 0
Run the same command again to go on after an interruption; finished runs are not repeated.
On a cluster, as a job array of as many jobs as --count prints:
cps4 compare my_study --output shared/comparison --job $SLURM_ARRAY_TASK_ID
cps4 compare my_study --output shared/comparison --tables
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", type=Path, metavar="STUDY")
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="rows of the table by name, or all (default); cps4 methods lists them",
    )
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="rows of your own (YAML), see docs/compare.md"
    )
    parser.add_argument("--labelled", nargs="+", default=["5%", "10%", "25%", "50%"], metavar="N")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument(
        "--fixed-seed",
        type=int,
        metavar="N",
        help="train every run with this seed: --seeds then differ in their labelled cases alone",
    )
    parser.add_argument("--preset", "-p", default="cpu", help="paper, best, cpu, or a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="change one option of the preset for every method, unless the method fixes it",
    )
    parser.add_argument(
        "--scored",
        choices=("test", "held-out"),
        default="test",
        help="held-out: validation cases and training cases without their label, to choose on",
    )
    parser.add_argument(
        "--unjudged", default="", metavar="NAMES", help="structures that the labels leave out"
    )
    parser.add_argument(
        "--reference", default="cps4", metavar="NAME", help="row of the paired tests"
    )
    parser.add_argument(
        "--prompts", nargs="+", metavar="STRUCTURE", help="prompts of the attention maps shown"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of a run")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda; several by comma are given out in turn"
    )
    work = parser.add_mutually_exclusive_group()
    work.add_argument("--job", type=int, metavar="I", help="only the I-th run, from 0")
    work.add_argument("--count", action="store_true", help="print how many runs there are")
    work.add_argument("--tables", action="store_true", help="only tables and report, run nothing")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Run what is missing and write the report; 1 if a run failed."""
    from CPS4Core.comparison.execute import run_matrix
    from CPS4Core.comparison.matrix import Matrix, choose_rows
    from CPS4Core.errors import CPS4Error
    from CPS4Core.methods.rows import rows

    matrix = Matrix(
        study=args.study,
        output=args.output,
        rows=choose_rows(rows(args.rows), args.methods),
        labelled=tuple(args.labelled),
        seeds=tuple(args.seeds),
        preset=args.preset,
        settings=tuple(args.set),
        scored=args.scored,
        unjudged=args.unjudged,
        fixed_seed=args.fixed_seed,
    )
    cells = matrix.cells
    if args.count:
        print(len(cells))
        return 0
    if args.job is not None:
        if not 0 <= args.job < len(cells):
            raise CPS4Error(f"There is no run {args.job}", cure=f"0 to {len(cells) - 1} exist")
        cells = [cells[args.job]]
    failed = {}
    if not args.tables:
        work = run_matrix(matrix, cells, args.jobs, args.threads, args.device, progress)
        failed = work.failed
        if work.busy:
            progress.message(f"Others work on: {', '.join(work.busy)}", "warning")
    if args.job is None:
        from CPS4Core.comparison.page import REPORT, write_page

        if args.tables:
            matrix.check()
        write_page(matrix, args.reference, args.prompts, progress)
        progress.message(f"Report: {matrix.output / REPORT}")
    return 1 if failed else 0
