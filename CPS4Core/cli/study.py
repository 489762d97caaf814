"""`cps4 study`: check, import, split, show, correct, make and export studies."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core.cli import study_submit
from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress

if TYPE_CHECKING:
    from CPS4Core.schema import LabelSchema
    from CPS4Core.study.importers import Collection
    from CPS4Core.study.problem import Problem

HELP = "check, import, split, show, correct, make (of phantoms) or export a study folder"
EXAMPLE = """cps4 study import MRSpineSeg --format mrspineseg --output studies/spine
cps4 study check studies/spine
cps4 study split studies/spine --val 10% --test 20%
cps4 study show studies/spine --labelled 5%"""

_EXAMPLES = {
    "check": """cps4 study check studies/spine
cps4 study check studies/spine --output problems.json""",
    "import": """cps4 study import MRSpineSeg --format mrspineseg --output studies/spine
cps4 study import SPIDER --format spider --sequence t2 --output studies/spider
cps4 study import scans --format flat --masks masks --schema mrspineseg --output studies/own""",
    "split": """cps4 study split studies/spine --val 10% --test 20% --seed 0
cps4 study split studies/spine --val 5 --test 10 --ratios 5 10 25 50 --force""",
    "show": """cps4 study show studies/spine
cps4 study show studies/spine --labelled 5% --order 0""",
    "submit": study_submit.EXAMPLE,
    "phantom": """cps4 study phantom studies/phantoms --labelled 4 --unlabelled 8
cps4 study phantom studies/hidden --labelled 1 --unlabelled 0 --val 0 --test 12 --sacrum hidden""",
    "export": """cps4 study export studies/spine --output nnUNet_raw --labelled 25% --number 501""",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    check = _action(actions, "check", "list each problem of a study with its file and cure")
    check.add_argument(
        "--output", type=Path, metavar="FILE", help="write the problems here as JSON"
    )
    _add_channel(check)

    bring = _action(actions, "import", "make or extend a study from a data set", study=False)
    bring.add_argument("source", type=Path, metavar="SOURCE", help="the data set's folder")
    bring.add_argument("--format", required=True, choices=("mrspineseg", "spider", "flat"))
    bring.add_argument("--output", required=True, type=Path, metavar="STUDY")
    bring.add_argument("--masks", type=Path, metavar="DIR", help="flat: folder of the masks")
    bring.add_argument(
        "--schema",
        metavar="NAME|FILE",
        help="label schema: built-in name, dataset.json or schema file. flat: of the masks "
        "(default: dataset.json beside them, else mrspineseg); otherwise: of a new study",
    )
    bring.add_argument(
        "--sequence", nargs="+", default=["t2"], metavar="NAME", help="spider: t1, t2 or t2_SPACE"
    )
    bring.add_argument("--file-ending", default=".nii.gz", help="of a new study (%(default)s)")

    split = _action(actions, "split", "draw validation, test and labelled cases")
    share = "number or share of the labelled cases (%(default)s)"
    split.add_argument("--val", default="10%", metavar="N|N%", help=share)
    split.add_argument("--test", default="20%", metavar="N|N%", help=share)
    split.add_argument("--seed", type=int, default=0)
    split.add_argument(
        "--ratios",
        nargs="+",
        type=float,
        default=[5, 10, 25, 50],
        metavar="PERCENT",
        help="labelled shares of all training cases to record (5 10 25 50)",
    )
    split.add_argument("--orders", type=int, default=3, help="labelled orders (%(default)s)")
    split.add_argument(
        "--group",
        metavar="REGEX",
        help="the part of a case id that names the patient; a patient's cases stay together",
    )
    split.add_argument("--force", action="store_true", help="replace splits.json (a copy is kept)")

    show = _action(actions, "show", "list the cases with their use, geometry and structures")
    _add_selection(show, default=None)
    show.add_argument("--headers-only", action="store_true", help="do not read the label maps")
    _add_channel(show)

    submit = _action(actions, "submit", study_submit.HELP)
    study_submit.configure(submit)
    _add_channel(submit)

    made = _action(actions, "phantom", "make a study of phantoms: synthetic spines, exact labels")
    for part, count in (("labelled", 4), ("unlabelled", 8), ("val", 2), ("test", 3)):
        made.add_argument(
            f"--{part}", type=int, default=count, metavar="N", help="cases (%(default)s)"
        )
    made.add_argument("--size", type=int, default=512, help="rows and columns (%(default)s)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--schema", default="mrspineseg", metavar="NAME|FILE", help="label schema (%(default)s)"
    )
    made.add_argument(
        "--sacrum",
        choices=("any", "visible", "hidden"),
        default="any",
        help="hidden: neither sacrum nor L5/S in view, so that levels cannot be counted "
        "(any: hidden in 15 %%)",
    )

    export = _action(actions, "export", "write a data set that nnU-Net v2 accepts as it is")
    export.add_argument("--output", required=True, type=Path, metavar="DIR")
    export.add_argument("--number", type=int, default=501, help="data set number (%(default)s)")
    _add_selection(export, default="all")
    _add_channel(export)


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Do the chosen action."""
    actions = {
        "check": _check,
        "import": _import,
        "split": _split,
        "show": _show,
        "submit": study_submit.run,
        "phantom": _phantom,
        "export": _export,
    }
    return actions[args.action](args, progress)


def _check(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.files import write_json
    from CPS4Core.study.check import check_study
    from CPS4Core.study.problem import ERROR, count

    problems = check_study(args.study, progress, args.channel)
    if args.output:
        write_json(args.output, [p.to_dict() for p in problems])
    _report(args, progress, problems, args.study)
    _tell_corrected(args, progress)
    return 1 if count(problems, ERROR) else 0


def _tell_corrected(args: argparse.Namespace, progress: Progress) -> None:
    """Which labels came by `cps4 study submit`, where the study can be read at all."""
    from CPS4Core.study.correction_record import corrected
    from CPS4Core.study.folder import Study

    try:
        found = corrected(Study.open(args.study, args.channel, read_splits=False))
    except CPS4Error:
        return
    if found:
        named = ", ".join(f"{case} (v{v.version} by {v.author})" for case, v in found.items())
        event = {"event": "corrected", "cases": {case: asdict(v) for case, v in found.items()}}
        _say(args, progress, event, f"Corrected labels: {len(found)}: {named}.")


def _import(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.study.importing import import_study
    from CPS4Core.study.problem import ERROR, count

    for folder in (args.source, args.masks):
        if folder is not None and not folder.is_dir():
            raise CPS4Error("There is no such folder", path=folder)
    collection, schema = _collect(args)
    result = import_study(collection, args.output, schema, progress, args.file_ending)
    failed = count(result.problems, ERROR)
    _report(args, progress, result.problems, args.source)
    _say(
        args,
        progress,
        {"event": "result", "imported": result.imported, "present": result.present},
        f"{len(result.imported)} cases imported, {len(result.present)} were there, "
        f"errors: {failed}. Next: cps4 study check {args.output}",
    )
    return 1 if failed else 0


def _collect(args: argparse.Namespace) -> tuple[Collection, LabelSchema]:
    """The source's cases and the schema of a new study."""
    from CPS4Core.schema import built_in_schema
    from CPS4Core.study.importers import (
        find_flat,
        find_mrspineseg,
        find_spider,
        read_schema,
        with_ignore,
    )

    if args.format == "flat":
        schema = read_schema(args.schema, args.source, args.masks)
        return find_flat(args.source, args.masks, schema), schema
    if args.format == "mrspineseg":
        found = find_mrspineseg(args.source)
        return found, read_schema(args.schema) if args.schema else found.schema
    # SPIDER names levels that MRSpineSeg does not: they are no background, so they are ignored.
    schema = read_schema(args.schema) if args.schema else with_ignore(built_in_schema("mrspineseg"))
    return find_spider(args.source, args.sequence), schema


def _split(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.study.folder import SPLITS, Study
    from CPS4Core.study.splits import make_splits

    study = Study.open(args.study, read_splits=False)
    splits = make_splits(
        study,
        val=args.val,
        test=args.test,
        seed=args.seed,
        ratios=args.ratios,
        orders=args.orders,
        group=_patient_of(args.group) if args.group else None,
    )
    splits.write(study.folder / SPLITS, force=args.force)
    counts = ", ".join(f"{k}: {n}" for k, n in splits.labelled_count.items()) or "none"
    _say(
        args,
        progress,
        {"event": "result", "splits": splits.to_dict()},
        f"test {len(splits.test)}, val {len(splits.val)}, train {len(splits.train)} "
        f"(labelled {len(splits.pool(0)) if splits.labelled_order else 0}); "
        f"labelled counts {counts}; seed {args.seed}",
    )
    return 0


def _patient_of(pattern: str) -> Callable[[str], str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise CPS4Error(
            f"'{pattern}' is not a regular expression ({error})",
            cure="Write for example '^(spider_[0-9]+)'",
        ) from error

    def patient(case: str) -> str:
        found = compiled.search(case)
        if not found:
            raise CPS4Error(f"--group does not match the case '{case}'", cure="Correct the pattern")
        return found[1] if found.groups() else found[0]

    return patient


def _show(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.study.folder import Study
    from CPS4Core.study.show import as_table, show_study

    study = Study.open(args.study, args.channel)
    splits, selection = "splits.json" if study.splits else "none", None
    if args.labelled is not None:
        selection = study.select(args.labelled, args.order)
        splits = f"{'splits.json' if study.splits else 'default'}, labelled {args.labelled}"
        splits += f", order {args.order}"
    rows = show_study(study, selection, progress, read_labels=not args.headers_only)
    _say(
        args,
        progress,
        {"event": "result", "cases": [row.to_dict() for row in rows]},
        f"{as_table(rows)}\n\n{len(study.cases)} cases, {len(study.labelled)} with a label; "
        f"schema '{study.schema.name}' with {len(study.schema.structures)} structures; "
        f"splits: {splits}",
    )
    return 0


def _phantom(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.phantom import write_phantom_study
    from CPS4Core.study.importers import read_schema

    write_phantom_study(
        args.study,
        args.labelled,
        args.unlabelled,
        args.val,
        args.test,
        args.size,
        args.seed,
        progress,
        schema=read_schema(args.schema),
        sacrum_visible={"any": None, "visible": True, "hidden": False}[args.sacrum],
    )
    total = args.labelled + args.unlabelled + args.val + args.test
    _say(
        args,
        progress,
        {"event": "result", "folder": str(args.study), "cases": total},
        f"{total} phantoms in {args.study}. Next: cps4 segment {args.study / 'imagesTr'} ..., then "
        f"cps4 evaluate PREDICTIONS {args.study} --split test",
    )
    return 0


def _export(args: argparse.Namespace, progress: Progress) -> int:
    from CPS4Core.study.export import SPLITS_FINAL, export_nnunet
    from CPS4Core.study.folder import Study

    study = Study.open(args.study, args.channel)
    selection = study.select(args.labelled, args.order)
    folder = export_nnunet(study, selection, args.output, args.number, progress)
    _say(
        args,
        progress,
        {"event": "result", "folder": str(folder)},
        f"Wrote {folder}. For our validation cases copy its {SPLITS_FINAL} into "
        f"nnUNet_preprocessed/{folder.name} after planning, and train fold 0. Its predictions are "
        f"scored by cps4 evaluate PREDICTIONS {args.study} --prediction-schema "
        f"{folder / 'dataset.json'}. All of it at once: cps4 nnunet.",
    )
    return 0


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    *,
    study: bool = True,
) -> argparse.ArgumentParser:
    example = "\n".join("  " + line for line in _EXAMPLES[name].splitlines())
    parser = actions.add_parser(
        name,
        help=text,
        description=text,
        epilog="example:\n" + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if study:
        parser.add_argument("study", type=Path, metavar="STUDY", help="the study's folder")
    for option, meaning in (
        ("--json", "JSON lines on standard output"),
        ("--quiet", "less output"),
    ):
        parser.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=meaning)
    return parser


def _add_channel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel", type=int, metavar="N", help="which channel, where cases have several"
    )


def _add_selection(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--labelled",
        default=default,
        metavar="N|N%|all",
        help="how many training cases are labelled" + (" (%(default)s)" if default else ""),
    )
    parser.add_argument("--order", default="0", help="labelled order of the splits (%(default)s)")


def _report(
    args: argparse.Namespace, progress: Progress, problems: list[Problem], root: Path
) -> None:
    from CPS4Core.study.problem import ERROR, WARNING, as_text, count

    if getattr(args, "json", False):
        for problem in problems:
            progress.emit({"event": "problem", **problem.to_dict()})
        return
    if problems:
        print(as_text(problems, root))
    if not getattr(args, "quiet", False):
        print(f"Errors: {count(problems, ERROR)}, warnings: {count(problems, WARNING)}.")


def _say(args: argparse.Namespace, progress: Progress, event: dict[str, Any], text: str) -> None:
    if getattr(args, "json", False):
        progress.emit(event)
    elif not getattr(args, "quiet", False):
        print(text)
