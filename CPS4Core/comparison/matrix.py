"""Which runs a comparison has: rows x labelled ratios x seeds, and the stages 1 that rows share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from CPS4Core.config import Config, load_config
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, read_json, write_json
from CPS4Core.methods.method import method_class
from CPS4Core.rows import Row
from CPS4Core.study.folder import Study
from CPS4Core.study.splits import Selection, parse_amount

DESCRIPTION = "comparison.json"
SCORED = ("test", "held-out")
STAGE1_PARTS = ("input", "augmentation", "prompts", "vision_language", "stage1", "phantoms")
"""Parts of the configuration on which stage 1 depends: rows that agree in them share it."""


@dataclass(frozen=True)
class Cell:
    """One training: a row of the table at one ratio with one seed (also its labelled order)."""

    row: str
    labelled: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.row}_{_plain(self.labelled)}_{self.seed}"


@dataclass(frozen=True)
class Matrix:
    """What is compared, on what, and where it goes.

    scored: `test`, or `held-out`, the validation cases and those training cases whose label this
        run did not see: options are compared on these, so that nothing is chosen on test cases.
    settings: changes of the preset for all rows, as `option=value`.
    """

    study: Path
    output: Path
    rows: dict[str, Row]
    labelled: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: str = "cpu"
    settings: tuple[str, ...] = ()
    scored: str = "test"
    unjudged: str = ""

    def __post_init__(self) -> None:
        if self.scored not in SCORED:
            raise CPS4Error(f"No cases '{self.scored}'", cure=f"Known: {', '.join(SCORED)}")
        if not (self.rows and self.labelled and self.seeds):
            raise CPS4Error("There is nothing to compare", cure="Name rows, ratios and seeds")

    @cached_property
    def opened(self) -> Study:
        """The study."""
        return Study.open(self.study)

    @property
    def cells(self) -> list[Cell]:
        """Every training, so ordered that a stopped comparison has whole seeds first."""
        return [
            Cell(row, labelled, seed)
            for seed in self.seeds
            for labelled in self.labelled
            for row in self.rows
        ]

    def check(self) -> None:
        """Raise CPS4Error before anything runs: an unknown ratio or option, too small a study,
        no cases to score, an output folder of another comparison."""
        for name, row in self.rows.items():
            method_class(row.method).read_options(self.config(name).stage2)
        for labelled in self.labelled:
            parse_amount(labelled)
            for seed in self.seeds:
                selection = self.selection(labelled, seed)
                if not self.scored_cases(selection):
                    raise CPS4Error(
                        f"The study has no {self.scored} case with a label",
                        path=self.study,
                        cure="Make splits with cps4 study split STUDY --test 20%",
                    )
                needy = [
                    name
                    for name, row in self.rows.items()
                    if method_class(row.method).needs_unlabelled
                ]
                if needy and not selection.unlabelled:
                    raise CPS4Error(
                        f"With {labelled} labelled no unlabelled training case is left for "
                        f"{', '.join(needy)}",
                        path=self.study,
                        cure="Ask for a smaller ratio, or add images without labels",
                    )
        self._describe()

    def config(self, row: str) -> Config:
        """The configuration of a row."""
        return load_config(self.preset, self.row_settings(row))

    def row_settings(self, row: str) -> list[str]:
        """All changes of the preset for a row, those of the row last."""
        return [*self.settings, *self.rows[row].settings]

    def selection(self, labelled: str, seed: int) -> Selection:
        """Who trains, validates and tests; the seed is the labelled order where there are some."""
        return self.opened.select(labelled, self.order(seed), seed)

    def order(self, seed: int) -> str:
        """The labelled order that goes with a seed: that of its number, or the only one."""
        splits = self.opened.splits
        orders = list(splits.labelled_order) if splits else []
        return orders[seed % len(orders)] if orders else "0"

    def scored_cases(self, selection: Selection) -> list[str]:
        """Ids of the labelled cases on which a run is scored."""
        if self.scored == "test":
            held = {**self.opened.test_cases, **self.opened.cases}
            ids = [*selection.test, *self.opened.test_cases]
            return [c for c in dict.fromkeys(ids) if c in held and held[c].label]
        held_out = [*selection.val, *selection.unlabelled]
        return [c for c in held_out if self.opened.cases[c].label]

    def folder(self, cell: Cell) -> Path:
        """The folder of a training."""
        return self.output / "runs" / cell.name

    def stage1_name(self, cell: Cell) -> str:
        """What names a stage 1: its objective and a digest of all that it depends on."""
        parts = self.config(cell.row).model_dump(mode="json", include=set(STAGE1_PARTS))
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.rows[cell.row].objective}-{digest}"

    def stage1_folder(self, cell: Cell) -> Path | None:
        """The folder of the stage 1 that a training uses, None where it needs none."""
        if self.rows[cell.row].objective is None:
            return None
        name = f"stage1-{self.stage1_name(cell)}_{_plain(cell.labelled)}_{cell.seed}"
        return self.output / "runs" / name

    def _describe(self) -> None:
        """Write what this folder compares; refuse one that holds another comparison."""
        described = {
            "study": str(self.opened.dataset.get("name", self.study.name)),
            "preset": self.preset,
            "settings": list(self.settings),
            "scored": self.scored,
            "unjudged": self.unjudged,
        }
        path = self.output / DESCRIPTION
        make_folder(self.output)
        before = read_json(path, DESCRIPTION) if path.is_file() else None
        rows = {name: list(self.rows[name].settings) for name in self.rows}
        if before is not None:
            changed = [k for k in described if before.get(k) != described[k]]
            changed += [f"row '{n}'" for n, s in rows.items() if before["rows"].get(n, s) != s]
            if changed:
                raise CPS4Error(
                    f"This folder holds a comparison with another {', '.join(changed)}",
                    path=self.output,
                    cure="Choose another output folder, or repeat the command that began it",
                )
            rows = before["rows"] | rows
        write_json(path, described | {"rows": rows})


def choose_rows(known: dict[str, Row], names: Sequence[str]) -> dict[str, Row]:
    """The rows of these names, `all` for every one; raises CPS4Error that lists the known ones."""
    if list(names) == ["all"]:
        return dict(known)
    unknown = [n for n in names if n not in known]
    if unknown:
        raise CPS4Error(f"No method '{', '.join(unknown)}'", cure=f"Known: {', '.join(known)}")
    return {name: known[name] for name in names}


def _plain(labelled: str) -> str:
    return labelled.strip().replace("%", "").replace(".", "-")
