"""Which runs a comparison has: rows x labelled ratios x seeds, and the stages 1 that rows share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from CPS4Core.config import Config, load_config
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, read_json, write_json
from CPS4Core.methods.method import method_class
from CPS4Core.methods.rows import Row
from CPS4Core.options_in_use import options_in_use
from CPS4Core.peers.nnunet import is_installed, require_installed
from CPS4Core.pretrain.objective import objective_class
from CPS4Core.study.folder import Case, Study
from CPS4Core.study.splits import Selection

DESCRIPTION = "comparison.json"
SCORED = ("test", "held-out")
STAGE1_PARTS = ("input", "augmentation", "prompts", "vision_language", "stage1", "maps", "phantoms")
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
        return f"{_plain(self.row)}_{_plain(self.labelled)}_{self.seed}"


@dataclass(frozen=True)
class Matrix:
    """What is compared, on what, and where it goes.

    scored: `test`, or `held-out`, the validation cases and those training cases whose label this
        run did not see: options are compared on these, so that nothing is chosen on test cases.
    settings: changes of the preset for all rows, as `option=value`.
    fixed_seed: seed of every training; `seeds` then differ in their labelled cases alone.
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
    fixed_seed: int | None = None

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
        every = (
            self.cell(row, labelled, seed)
            for seed in self.seeds
            for labelled in self.labelled
            for row in self.rows
        )
        return list(dict.fromkeys(every))

    def cell(self, row: str, labelled: str, seed: int) -> Cell:
        """The training that a row has at a ratio: the same at all where it takes its own number."""
        return Cell(row, self.rows[row].labelled or labelled, seed)

    def check(self) -> None:
        """Raise CPS4Error before anything runs: an unknown ratio or option, too small a study,
        no cases to score, an output folder of another comparison."""
        for row in self.rows:
            self._check_options(row)
        for cell in self.cells:
            self._check_cases(cell)
        self._describe()

    def _check_options(self, row: str) -> None:
        config, found = self.config(row), self.rows[row]
        if found.outside:
            return
        objective_class(config.stage1.objective).read_options(config.stage1)
        if found.method:
            method_class(found.method).read_options(config.stage2)

    def _check_cases(self, cell: Cell) -> None:
        row, selection = self.rows[cell.row], self.selection(cell.labelled, cell.seed)
        if not self.scored_cases(selection):
            raise CPS4Error(
                f"For {cell.row} with {cell.labelled} labelled the study has no {self.scored} case "
                "with a label",
                path=self.study,
                cure="Make splits with cps4 study split STUDY --test 20%, or leave out that method",
            )
        needy = row.method and method_class(row.method).needs_unlabelled
        if needy and not selection.unlabelled:
            raise CPS4Error(
                f"With {cell.labelled} labelled no unlabelled training case is left for {cell.row}",
                path=self.study,
                cure="Ask for a smaller ratio, or add images without labels",
            )

    def config(self, row: str) -> Config:
        """The configuration of a row."""
        return self._configs[row]

    @cached_property
    def _configs(self) -> dict[str, Config]:
        """Read once: every run asks for its row's several times."""
        return {row: load_config(self.preset, self.row_settings(row)) for row in self.rows}

    def row_settings(self, row: str) -> list[str]:
        """All changes of the preset for a row: what makes it plain, those for all, its own."""
        found = self.rows[row]
        return [*found.plain, *self.settings, *found.overrides]

    def stage1_settings(self, row: str) -> list[str]:
        """Those on which stage 1 depends: rows that share it may differ in the others."""
        parts = tuple(f"{part}." for part in STAGE1_PARTS)
        return [s for s in self.row_settings(row) if s.strip().startswith(parts)]

    def needs_maps(self, row: str) -> bool:
        """Whether a row has a stage 1."""
        found = self.rows[row]
        if found.outside:
            return False
        return found.method is None or method_class(found.method).needs_prompt_maps

    def selection(self, labelled: str, seed: int) -> Selection:
        """Who trains, validates and tests; the seed is the labelled order where there are some."""
        return self.opened.select(labelled, self.order(seed), self.training_seed(seed))

    def order(self, seed: int) -> str:
        """The labelled order that goes with a seed: that of its number, or the only one."""
        splits = self.opened.splits
        orders = list(splits.labelled_order) if splits else []
        return orders[seed % len(orders)] if orders else "0"

    def training_seed(self, seed: int) -> int:
        """The seed of all that is random in a training."""
        return seed if self.fixed_seed is None else self.fixed_seed

    def scored_cases(self, selection: Selection) -> list[Case]:
        """The labelled cases on which a run is scored."""
        study = self.opened
        return study.tested(selection) if self.scored == "test" else study.held_out(selection)

    def mapped_cases(self, selection: Selection) -> list[Case]:
        """The labelled cases on which prompt maps are scored: those that validate, if there are
        any, else all that stage 1 did not see."""
        # Maps of every unlabelled case take as long to write as stage 1 itself.
        held_out = self.opened.held_out(selection)
        return [case for case in held_out if case.id in selection.val] or held_out

    def folder(self, cell: Cell) -> Path:
        """The folder of a training, of stage 1 where a row is that alone."""
        row = self.rows[cell.row]
        if row.method is None and not row.outside:
            return self._stage1_folder(cell)
        return self.run_folder(cell.row, cell)

    def stage1_name(self, cell: Cell) -> str:
        """What names a stage 1: its objective and a digest of all that it depends on."""
        config = self.config(cell.row)
        return f"{config.stage1.objective}-{digest(config, dict.fromkeys(STAGE1_PARTS, True))}"

    def stage1_folder(self, cell: Cell) -> Path | None:
        """The folder of the stage 1 that a training uses, None where it needs none."""
        if not self.needs_maps(cell.row):
            return None
        return self._stage1_folder(cell)

    def _stage1_folder(self, cell: Cell) -> Path:
        return self.run_folder(f"stage1-{self.stage1_name(cell)}", cell)

    def run_folder(self, name: str, cell: Cell) -> Path:
        """The folder of what is called so and made with the cases and the seed of a training."""
        return self.output / "runs" / Cell(name, cell.labelled, cell.seed).name

    def _describe(self) -> None:
        """Write what this folder compares; refuse one that holds another comparison."""
        described = {
            "study": str(self.opened.dataset.get("name", self.study.name)),
            "preset": self.preset,
            "settings": list(self.settings),
            "scored": self.scored,
            "unjudged": self.unjudged,
            "fixed seed": self.fixed_seed,
        }
        path = self.output / DESCRIPTION
        make_folder(self.output)
        before = read_json(path, DESCRIPTION) if path.is_file() else None
        rows = {name: _said(row) for name, row in self.rows.items()}
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
    """The rows of these names; raises CPS4Error that lists the known ones.

    `all` is every one, outside peers only where they are installed; by name they are refused where
    they are not.
    """
    if list(names) == ["all"]:
        return {n: row for n, row in known.items() if not row.outside or is_installed()}
    unknown = [n for n in names if n not in known]
    if unknown:
        raise CPS4Error(f"No method '{', '.join(unknown)}'", cure=f"Known: {', '.join(known)}")
    if any(known[n].outside for n in names):
        require_installed()
    return {name: known[name] for name in names}


def _said(row: Row) -> dict[str, Any]:
    """What makes a row, as the description keeps it."""
    return {
        "settings": [*row.plain, *row.overrides],
        "labelled": row.labelled,
        "outside": row.outside,
    }


def digest(config: Config, parts: dict[str, Any]) -> str:
    """A short name for these parts of a configuration (pydantic's `include`)."""
    settings = options_in_use(config.model_dump(mode="json", include=parts))
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def _plain(name: str) -> str:
    """A ratio or a row's name as a part of a file name."""
    name = name.strip().replace("%", "").replace(".", "-")
    return re.sub(r"[^\w-]+", "-", name)
