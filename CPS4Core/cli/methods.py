"""`cps4 methods`: what can be trained and compared, with sources, costs and options."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from CPS4Core.progress import Progress

if TYPE_CHECKING:
    from CPS4Core.methods.rows import Row

HELP = "list the methods that can be trained and compared, or describe one"
EXAMPLE = """cps4 methods
cps4 methods bcp"""

COST = ("updates", "forwards", "backwards")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show this one's formula and options")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Print the table or one description; with --json events named `method`."""
    from CPS4Core.methods.rows import row, rows

    chosen = [row(args.name)] if args.name else list(rows().values())
    described = [describe(one) for one in chosen]
    if args.json:
        for one in described:
            progress.emit({"event": "method", **one})
    elif args.name:
        print("\n".join(as_text(described[0])))
    else:
        print("\n".join(as_table(described)))
    return 0


def describe(row: Row) -> dict[str, Any]:
    """A row with its source, its cost a step, its formula and its options."""
    from dataclasses import asdict

    from CPS4Core.methods.method import method_class
    from CPS4Core.pretrain.objective import objective_class

    found: dict[str, Any] = {
        "name": row.name,
        "about": row.about,
        "source": row.source,
        "stage1": row.objective,
        "stage2": row.method,
        "labelled": row.labelled,
        "set": list(row.set),
        "plain": list(row.plain),
        "command": row.outside or f"cps4 train STUDY --output RUN --method {row.name}",
        "cost": None,
        "formula": None,
        "options": {},
        "stage1_cost": None,
        "stage1_formula": None,
        "stage1_options": {},
    }
    if row.objective:
        objective = objective_class(row.objective)
        found["source"] = row.source or objective.source
        found["stage1_cost"] = asdict(objective.cost)
        found["stage1_formula"] = inspect.getdoc(objective)
        found["stage1_options"] = objective.Options().model_dump()
    if row.method:
        cls = method_class(row.method)
        found["source"] = found["source"] or cls.source
        found["cost"] = asdict(cls.cost)
        found["formula"] = inspect.getdoc(cls)
        found["options"] = cls.Options().model_dump()
        if found["stage1"] is None and cls.needs_prompt_maps:
            found["stage1"] = "the preset's"
    return found


def as_table(described: list[dict[str, Any]]) -> Iterator[str]:
    """One line a method."""
    lines = [("method", "about", *COST, "source")]
    for one in described:
        cost = one["cost"] or dict.fromkeys(COST, "-")
        lines.append(
            (one["name"], one["about"], *(str(cost[kind]) for kind in COST), one["source"])
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
    yield ""
    yield "Updates, forward and backward passes of a step once the unlabelled slices teach."
    yield "'cps4 methods NAME' shows a formula and its options."


def as_text(one: dict[str, Any]) -> Iterator[str]:
    """One method in full."""
    yield f"{one['name']}: {one['about']}"
    yield f"source: {one['source']}"
    for key in ("stage1", "stage2", "labelled"):
        if one[key]:
            yield f"{key}: {one[key]}"
    if one["set"]:
        yield f"fixed: {', '.join(one['set'])}"
    if one["plain"]:
        yield f"in a comparison: {', '.join(one['plain'])}"
    for key, stage in (("stage1_cost", "stage 1"), ("cost", "stage 2")):
        if one[key]:
            from CPS4Core.methods.method import Cost

            yield f"a step of {stage}: {Cost(**one[key])}"
    yield f"command: {one['command']}"
    for stage, prefix in (("stage1", "stage1_"), ("stage2", "")):
        formula, options = one[f"{prefix}formula"], one[f"{prefix}options"]
        if formula:
            yield ""
            yield f"{stage}: {formula}"
        if options:
            yield ""
            yield f"options (--set {stage}.options.NAME=VALUE):"
            for name, value in options.items():
                shown = f"{value:.4g}" if isinstance(value, float) else value
                yield f"  {name}: {shown}"
