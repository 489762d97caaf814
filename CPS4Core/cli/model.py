"""`cps4 model`: pass a trained model on."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "export a trained model in small, and write its model card"
EXAMPLE = """
cps4 model export runs/first --output Resources/models/starter --float16 --limit 20
cps4 model card Resources/models/starter my_study --output runs/card
"""

_EXAMPLES = {
    "export": "cps4 model export runs/first --output Resources/models/starter --float16 --limit 20",
    "card": "cps4 model card Resources/models/starter my_study --output runs/card --split test",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    export = _action(actions, "export", "copy a model without checkpoints, small enough to ship")
    export.add_argument("model", type=Path, metavar="MODEL", help="model or run folder")
    export.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="DIR",
        help="the new model folder; its name becomes the model's",
    )
    export.add_argument(
        "--float16",
        action="store_true",
        help="store weight matrices in 16 bits, if that changes no more than --tolerance of the "
        "structures' pixels",
    )
    export.add_argument(
        "--check",
        nargs="+",
        type=Path,
        default=[],
        metavar="VOLUME",
        help="volumes by which --float16 is checked (default: phantoms)",
    )
    export.add_argument("--tolerance", type=float, default=1e-3, metavar="SHARE")
    export.add_argument(
        "--without-text-encoder", action="store_true", help="no new prompts, only the trained ones"
    )
    export.add_argument("--without-maps", action="store_true", help="no prompt maps at all")
    export.add_argument("--limit", type=float, metavar="MB", help="refuse a larger model")

    card = _action(
        actions, "card", "measure a model on held-out cases and write README.md into its folder"
    )
    card.add_argument("model", type=Path, metavar="MODEL", help="model folder or run folder")
    card.add_argument(
        "study", type=Path, metavar="STUDY", help="study with held-out labelled cases"
    )
    card.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for changed copies, predictions and scores",
    )
    card.add_argument("--split", choices=("test", "val"), default="test")
    card.add_argument(
        "--no-anchor", type=Path, metavar="VOLUME", help="a scan without sacrum and L5/S"
    )
    card.add_argument(
        "--phantoms", type=int, default=6, metavar="N", help="with hidden sacrum (%(default)s)"
    )
    card.add_argument(
        "--note", default="", metavar="TEXT", help="a sentence about the data, for the card"
    )
    card.add_argument("--levels", choices=("raw", "decoded"), help="default: the model's own")
    card.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    card.add_argument("--engine", choices=("auto", "torch", "openvino"), default="auto")
    card.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Do the chosen action."""
    return {"export": _export, "card": _card}[args.action](args, progress)


def _export(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.inference.models import open_model
    from CPS4Core.model_export import MEGABYTE, export_model

    made = export_model(
        open_model(args.model),
        args.output,
        half=args.float16,
        text_encoder=not args.without_text_encoder,
        maps=not args.without_maps,
        limit=args.limit,
        check=args.check,
        tolerance=args.tolerance,
        progress=progress,
    )
    progress.message(f"Wrote {made.info.folder}, {made.size / MEGABYTE:.1f} MB")
    return 0


def _card(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.inference.models import open_model
    from CPS4Core.model_card.card import CardOptions, write_card
    from CPS4Core.study.folder import Study

    options = CardOptions(
        split=args.split,
        phantoms=args.phantoms,
        no_anchor=args.no_anchor,
        note=args.note,
        device=args.device,
        engine=args.engine,
        threads=args.threads,
        levels=args.levels,
    )
    path = write_card(
        open_model(args.model), Study.open(args.study), args.output, options, progress
    )
    progress.message(f"Wrote {path}")
    return 0


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=text,
        description=text,
        epilog="example:\n  " + _EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, meaning in (
        ("--json", "JSON lines on standard output"),
        ("--quiet", "less output"),
    ):
        parser.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=meaning)
    return parser
