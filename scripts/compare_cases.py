"""Case by case after cps4 compare: a table and a picture of every scored case.

    python scripts/compare_cases.py STUDY runs/comparison --row cps4 --labelled 5% 25%

Writes cases.md (mDice, shape and wrong levels of each case and labelled order) and, for each ratio,
cases_RATIO.png (the slice that shows most: image, truth and each order's result).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from CPS4Core.files import write_text
from CPS4Core.report.comparison_picture import comparison_picture
from CPS4Core.study.folder import Study
from CPS4Core.volumes.reading import read_label_map, read_volume
from CPS4Core.volumes.sagittal import to_sagittal

HEAD = "| case | labelled | order | mDice | vertebrae / discs | shape | levels found | wrong |"


def scores_of(run: Path) -> dict[str, dict]:
    """The cases of a run's evaluation."""
    return json.loads((run / "scores" / "metrics.json").read_text())["cases"]


def line(case: str, ratio: str, order: str, scores: dict) -> str:
    """One row of the table."""
    measures, classes = scores["measures"], scores["classes"]
    levels = {name: c for name, c in classes.items() if c["identified"] is not None}
    wrong = [
        f"{name} as {c['named_as']}" if c["named_as"] not in (name, "Background", None) else name
        for name, c in levels.items()
        if not c["identified"]
    ]
    cells = (
        *(case, ratio, order, f"{measures['dice']:.3f}"),
        f"{measures['dice_vertebrae']:.2f} / {measures['dice_discs']:.2f}",
        f"{measures['shape_dice_vertebrae']:.2f} / {measures['shape_dice_discs']:.2f}",
        f"{len(levels) - len(wrong)} of {len(levels)}",
        ", ".join(wrong),
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the arguments and write table and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("comparison", type=Path, help="--output of cps4 compare")
    parser.add_argument("--row", default="cps4")
    parser.add_argument("--labelled", nargs="+", default=["5%", "25%"])
    args = parser.parse_args()
    study = Study.open(args.study)
    lines = [HEAD, "|---" * 8 + "|"]
    for ratio in args.labelled:
        plain = ratio.rstrip("%")
        runs = {
            r.name.rsplit("_", 1)[1]: r
            for r in sorted((args.comparison / "runs").glob(f"{args.row}_{plain}_*"))
        }
        scores = {order: scores_of(run) for order, run in runs.items()}
        common = sorted(set.intersection(*(set(s) for s in scores.values())))
        lines += [line(c, ratio, o, scores[o][c]) for c in common for o in runs]
        rows, spacings = [], []
        for case in common:
            stack = to_sagittal(read_volume(study.cases[case].image))
            label = to_sagittal(read_label_map(study.cases[case].label)).array
            truth = study.schema.to_indices(label)
            shown = int(((truth > 0) & (truth < 255)).sum(axis=(1, 2)).argmax())
            found = {}
            for order, run in runs.items():
                values = to_sagittal(read_label_map(run / "found" / f"{case}.nii.gz")).array
                found[f"order {order}"] = study.schema.to_indices(values[shown])
            dice = ", ".join(f"{scores[o][case]['measures']['dice']:.2f}" for o in runs)
            rows.append((f"{case}: {dice}", stack.array[shown], truth[shown], found))
            spacings.append(stack.spacing[1:])
        comparison_picture(rows, study.schema, args.comparison / f"cases_{plain}.png", spacings)
    write_text(args.comparison / "cases.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    means = [np.mean([s["measures"]["dice"] for s in case.values()]) for case in scores.values()]
    print("mDice by order:", ", ".join(f"{m:.3f}" for m in means))


if __name__ == "__main__":
    main()
