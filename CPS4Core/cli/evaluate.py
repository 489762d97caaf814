"""`cps4 evaluate`: compare predictions with true labels by one metric rule."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress

HELP = "Compare a folder of predicted label maps with the true ones: Dice, distances, levels."
EXAMPLE = """
cps4 evaluate predictions/ study/labelsTr --output scores/
cps4 evaluate predictions/ study/ --split test --output scores/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS_DIR")
    parser.add_argument("labels", type=Path, metavar="LABELS_DIR", help="true labels, or a study")
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for metrics.json, summary.csv, cases.csv and classes.csv; where predictions "
        "have confidences (CASE.json) also reliability.png and reliability.csv",
    )
    parser.add_argument(
        "--schema",
        metavar="NAME|FILE",
        help="label schema: mrspineseg, spider, totalspineseg or a JSON file "
        "(default: the study's dataset.json, else mrspineseg)",
    )
    parser.add_argument(
        "--prediction-schema",
        metavar="NAME|FILE",
        help="schema of the predictions if theirs differs; structures are matched by name",
    )
    parser.add_argument("--split", metavar="PART", help="only cases of this part, such as test")
    parser.add_argument(
        "--splits",
        type=Path,
        metavar="FILE",
        help="the splits.json for --split (default: the study's)",
    )
    parser.add_argument(
        "--rare",
        metavar="NAMES",
        help="levels for the means without rare ones, by comma "
        "(default: T9,T10,T9/T10,T10/T11; empty: none)",
    )
    parser.add_argument(
        "--unjudged",
        default="",
        metavar="NAMES",
        help="structures that the true labels leave out although the images show them, by comma; "
        "predicted ones count as background (S for SPIDER; default: none, predicted ones count 0)",
    )
    parser.add_argument(
        "--distances",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="HD95, ASSD and NSD, in 3D and in-plane (default: yes)",
    )
    parser.add_argument(
        "--tolerances", default="1,2", metavar="MM", help="of the NSD, by comma (default: 1,2)"
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out cases without a prediction; they count 0 otherwise",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a processor, at most 8)"
    )


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Evaluate, write the tables and print the summary; 1 where a case failed."""
    from CPS4Core.evaluation.case import RARE_LEVELS, Settings
    from CPS4Core.evaluation.folder import evaluate_pairs, usable_cpus
    from CPS4Core.evaluation.matching import (
        labels_folder,
        match_cases,
        read_schema,
        schema_of,
        split_cases,
    )
    from CPS4Core.evaluation.tables import text_table, write_results
    from CPS4Core.files import make_folder

    labels = labels_folder(args.labels)
    schema = schema_of(labels, args.schema)
    own = read_schema(args.prediction_schema) if args.prediction_schema else None
    if args.rare is None:
        rare = tuple(name for name in RARE_LEVELS if name in schema.class_names)
    else:
        rare = tuple(schema.class_names[schema.index_of(n)] for n in _names(args.rare))
    unjudged = tuple(schema.class_names[schema.index_of(n)] for n in _names(args.unjudged))
    settings = Settings(rare, args.distances, _tolerances(args.tolerances), unjudged=unjudged)
    if args.workers is not None and args.workers < 1:
        raise CPS4Error(f"--workers is {args.workers}", cure="Give 1 or more")
    if args.splits and not args.split:
        raise CPS4Error("--splits needs --split", cure="Say which part, for example --split test")
    wanted = None
    if args.split:
        wanted = split_cases(args.splits or labels.resolve().parent / "splits.json", args.split)
    pairs, extra = match_cases(args.predictions, labels, wanted)
    if extra and wanted is None:
        progress.message(f"Predictions without a label map: {', '.join(extra)}", "warning")
    make_folder(args.output)  # a folder that cannot be written is known before the work begins
    evaluation = evaluate_pairs(
        pairs,
        schema,
        settings,
        prediction_schema=own,
        allow_missing=args.allow_missing,
        workers=args.workers or min(8, usable_cpus()),
        progress=progress,
    )
    content = write_results(
        evaluation, args.output, {"split": args.split, "allow_missing": args.allow_missing}
    )
    if args.json:
        means = {k: v["mean"] for k, v in content["summary"].items() if v["mean"] is not None}
        progress.metric("evaluate", len(evaluation.scores), **means)
    elif not args.quiet:
        sys.stdout.write(text_table(content))
    if evaluation.failures:
        progress.message(
            f"{len(evaluation.failures)} of {len(pairs)} cases failed: "
            + ", ".join(sorted(evaluation.failures)),
            "error",
        )
    return 1 if evaluation.failures else 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _tolerances(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in _names(text))
    except ValueError:
        values = ()
    if not values or min(values) <= 0:
        raise CPS4Error(
            f"'{text}' are no tolerances in mm", cure="Write for example --tolerances 1,2"
        )
    return values
