"""Compare methods or options on a study: train, segment, score, and write one table.

    python scripts/compare_methods.py STUDY --output runs/comparison --preset cpu \
        --labelled 5% 25% --orders 0 1 2 --seed 0 --jobs 2
    python scripts/compare_methods.py STUDY --output runs/levels --rows scripts/rows/levels.yaml \
        --scored held-out --labelled 5% 25% --orders 0

The rows stand in a YAML file: a method, which stage 1, and options. Every step is a `cps4` command
of its own, shown in commands.txt; finished ones are not repeated. Nothing is chosen on test cases:
the best checkpoint is that of the validation cases, and options are compared on `held-out` cases,
the validation cases and those training cases that this run had without their label.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from threading import Lock

import yaml

from CPS4Core.files import write_json, write_text

ROWS = Path(__file__).parent / "rows" / "methods.yaml"
COLUMNS = {
    "dice": "mDice",
    "iou": "mIoU",
    "dice_vertebrae": "vertebrae",
    "dice_discs": "discs",
    "shape_dice_vertebrae": "shape, vertebrae",
    "shape_dice_discs": "shape, discs",
    "level_accuracy": "level",
    "dice_best_shift": "best shift",
    "every_level_right": "all levels right",
}


@dataclass
class Comparison:
    """The arguments, the rows and where things go."""

    args: argparse.Namespace
    rows: dict[str, dict]
    stage1: dict[str, list[str]]
    lock: Lock

    def cps4(self, *arguments: object) -> None:
        """Run one command; its output goes to log.txt, its line to commands.txt."""
        line = [str(a) for a in arguments]
        with self.lock, open(self.args.output / "commands.txt", "a") as file:
            file.write("cps4 " + shlex.join(line) + "\n")
        done = subprocess.run(
            [sys.executable, "-m", "CPS4Core", "--quiet", *line], capture_output=True, text=True
        )
        with self.lock, open(self.args.output / "log.txt", "a") as file:
            file.write(done.stdout + done.stderr)
        if done.returncode:
            raise SystemExit(f"cps4 {shlex.join(line)}\n{done.stderr[-2000:]}")

    def training(self, ratio: str, order: str) -> list[object]:
        """Options that every training of this ratio and order shares."""
        a = self.args
        sets = options(a.set)
        shared = ["--preset", a.preset, "--labelled", ratio, "--order", order, "--seed", a.seed]
        cache = ["--cache", a.output / "cache", "--threads", a.threads]
        return [a.study, *shared, *cache, *sets]

    def name(self, row: str, ratio: str, order: str) -> Path:
        """The folder of one run."""
        plain = row.replace(",", "").replace(" ", "-")
        return self.args.output / "runs" / f"{plain}_{ratio.rstrip('%')}_{order}"

    def pretrain(self, job: tuple[str, str, str]) -> None:
        """Stage 1 for a ratio and order, and the scores of its maps on the unlabelled cases."""
        kind, ratio, order = job
        run = self.name(f"stage1-{kind}", ratio, order)
        if (run / "maps_scores" / "metrics.json").is_file():
            return
        sets = options(self.stage1[kind])
        self.cps4("pretrain", *self.training(ratio, order), "--output", run, *sets)
        study, selection = self.study(ratio, order)
        scored = [c for c in selection.unlabelled if study.cases[c].label]
        images = [study.cases[c].image for c in scored]
        self.cps4(
            *("maps", *images, "--model", run, "--output", run / "maps"),
            *("--threads", self.args.threads),
        )
        self.cps4(
            *("evaluate", run / "maps" / "integrated", self.args.study, "--allow-missing"),
            *("--no-distances", "--workers", 1, "--output", run / "maps_scores"),
        )

    def train(self, job: tuple[str, str, str]) -> None:
        """Stage 2 of one row, its test segmentations and scores."""
        row, ratio, order = job
        run, chosen = self.name(row, ratio, order), self.rows[row]
        stage1 = chosen.get("stage1")
        if (run / "scores" / "metrics.json").is_file():
            return
        given = options(chosen.get("set", []))
        if stage1 is not None:
            given += ["--pretrained", self.name(f"stage1-{stage1}", ratio, order)]
            given += options(self.stage1[stage1])
        training = self.training(ratio, order)
        self.cps4("train", *training, "--method", chosen["method"], "--output", run, *given)
        study, scored = self.scored(ratio, order)
        images = [study.cases[c].image for c in scored]
        self.cps4(
            *("segment", *images, "--model", run, "--output", run / "found"),
            *("--device", "cpu", "--threads", self.args.threads),
        )
        self.cps4(
            *("evaluate", run / "found", self.args.study, "--allow-missing"),
            *("--no-distances", "--workers", 1, "--output", run / "scores"),
            *(["--unjudged", self.args.unjudged] if self.args.unjudged else []),
        )

    def scored(self, ratio: str, order: str):
        """The study and the ids of the cases on which a run is scored."""
        study, selection = self.study(ratio, order)
        if self.args.scored == "test":
            return study, list(selection.test)
        held_out = [*selection.val, *selection.unlabelled]
        return study, [c for c in held_out if study.cases[c].label]

    def study(self, ratio: str, order: str):
        """The study and its selection, as training sees them."""
        from CPS4Core.study.folder import Study

        study = Study.open(self.args.study)
        return study, study.select(ratio, order, self.args.seed)

    def run(self) -> None:
        """All stages 1, then all rows, then the table."""
        a = self.args
        pairs = [(ratio, order) for ratio in a.labelled for order in a.orders]
        first = [(kind, *pair) for pair in pairs for kind in self.stage1]
        second = [(row, *pair) for pair in pairs for row in self.rows]
        with ThreadPoolExecutor(a.jobs) as pool:
            list(pool.map(self.pretrain, first))
            list(pool.map(self.train, second))
        self.write(first, second)

    def write(self, first: list[tuple[str, str, str]], second: list[tuple[str, str, str]]) -> None:
        """results.csv (one line a run) and table.md (mean and SD over the orders)."""
        rows = []
        for row, ratio, order in second:
            summary = self.summary(self.name(row, ratio, order) / "scores")
            rows.append({"row": row, "labelled": ratio, "order": order} | summary)
        for kind, ratio, order in first:
            summary = self.summary(self.name(f"stage1-{kind}", ratio, order) / "maps_scores")
            rows.append({"row": f"maps ({kind})", "labelled": ratio, "order": order} | summary)
        columns = list(dict.fromkeys(k for r in rows for k in r))
        with open(self.args.output / "results.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        write_json(self.args.output / "results.json", rows)
        write_text(self.args.output / "table.md", table(rows))
        self.pictures()

    def pictures(self) -> None:
        """Truth and every row on the first order: the last row's best and its worst case."""
        from CPS4Core.report.comparison_picture import comparison_picture
        from CPS4Core.volumes.reading import read_label_map, read_volume
        from CPS4Core.volumes.sagittal import to_sagittal

        order = self.args.orders[0]
        for ratio in self.args.labelled:
            study, scored = self.scored(ratio, order)
            scores = self.name([*self.rows][-1], ratio, order) / "scores" / "metrics.json"
            cases = json.loads(scores.read_text())["cases"]
            ranked = sorted(scored, key=lambda c: -cases[c]["measures"]["dice"])
            for case in dict.fromkeys((ranked[0], ranked[-1])):
                stack = to_sagittal(read_volume(study.cases[case].image))
                label = study.cases[case].label
                truth = study.schema.to_indices(to_sagittal(read_label_map(label)).array)
                shown = int(((truth > 0) & (truth < 255)).sum(axis=(1, 2)).argmax())
                found = {}
                for row in self.rows:
                    path = self.name(row, ratio, order) / "found" / f"{case}.nii.gz"
                    values = to_sagittal(read_label_map(path)).array
                    dice = json.loads(
                        (self.name(row, ratio, order) / "scores" / "metrics.json").read_text()
                    )["cases"][case]["measures"]["dice"]
                    found[f"{row} {dice:.2f}"] = study.schema.to_indices(values)[shown]
                comparison_picture(
                    [(f"{case}, {ratio} labelled", stack.array[shown], truth[shown], found)],
                    study.schema,
                    self.args.output / f"overlay_{ratio.rstrip('%')}_{case}.png",
                    [stack.spacing[1:]],
                )

    def summary(self, folder: Path) -> dict[str, float]:
        """Means over cases of one evaluation."""
        content = json.loads((folder / "metrics.json").read_text())
        return {k: v["mean"] for k, v in content["summary"].items() if v["mean"] is not None}


def options(settings: list[str]) -> list[str]:
    """Settings as arguments of `cps4 train`."""
    return [part for setting in settings for part in ("--set", setting)]


def table(rows: list[dict]) -> str:
    """Markdown: one line a row and ratio, mean and SD over the labelled orders."""
    shown = [m for m in COLUMNS if any(m in r for r in rows)]
    lines = ["| row | labelled | " + " | ".join(COLUMNS[m] for m in shown) + " |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for key in dict.fromkeys((r["row"], r["labelled"]) for r in rows):
        group = [r for r in rows if (r["row"], r["labelled"]) == key]
        cells = []
        for measure in shown:
            values = [r[measure] for r in group if measure in r]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3f}{spread}" if values else "")
        lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--rows", type=Path, default=ROWS, help="YAML file of the rows")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="some of the file's rows")
    parser.add_argument("--maps", nargs="*", metavar="STAGE1", help="also score these stages 1")
    parser.add_argument(
        "--unjudged", default="", help="structures that the study's labels leave out, by comma"
    )
    parser.add_argument("--scored", choices=("test", "held-out"), default="test")
    parser.add_argument("--labelled", nargs="+", default=["5%", "25%"])
    parser.add_argument("--orders", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a run")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    chosen = yaml.safe_load(args.rows.read_text(encoding="utf-8"))
    rows, stage1 = chosen["rows"], chosen.get("stage1", {})
    if args.only:
        rows = {name: rows[name] for name in args.only}
        needed = {row["stage1"] for row in rows.values() if "stage1" in row}
        stage1 = {name: s for name, s in stage1.items() if name in needed | {*(args.maps or ())}}
    Comparison(args, rows, stage1, Lock()).run()


if __name__ == "__main__":
    main()
