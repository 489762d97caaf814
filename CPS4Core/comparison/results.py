"""What is kept of a finished run: one small file, apart from the folder of the run.

results/RUN.json   what made the run, its measures case by case, its cost and its curve

These files alone say what is finished and fill the tables. So a comparison goes on, or is
tabulated, on any machine that has them and comparison.json, and those of several machines are
joined by copying.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.comparison.shared_training import training_folder
from CPS4Core.comparison.shared_warmup import WARMED_UP, warmup_folder
from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_text
from CPS4Core.model_folder import read_model
from CPS4Core.options_in_use import options_in_use
from CPS4Core.report.metrics_table import read_metrics

FOLDER, FORMAT = "results", 1
SCORES, COST = "scores/metrics.json", "cost.json"
MODEL, STAGE1_MODEL = "model/model.json", "stage1/model/model.json"
BEGUN = ("run.json", "peer.json")
"""What a run's folder holds as soon as its training has begun."""
CURVE = ("epoch", "loss/", "validation/mdice")
ANEW = "the run is then done anew, or read once more where its folder is still there"


class Result(BaseModel):
    """The numbers of a finished run.

    cases: measures by case id and name, None where undefined.
    cost: `seconds` of the training, `stage1_seconds` and `warmup_seconds` of the stage 1 and the
        warm-up that it may share with others, and what the model says of its training.
    curve: `epoch`, losses and `validation/mdice`, a value an epoch, None for gaps.
    """

    cases: dict[str, dict[str, float | None]]
    cost: dict[str, float]
    curve: dict[str, list[float | None]]
    encoder_weights: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class ResultFile:
    """The file of a run, or of a stage 1 whose prompt maps are scored.

    folder: the run's, with its segmentations and scores; `trained` that of its training, which
    rows may share. A stage 1 has one file for all rows that share it.
    """

    matrix: Matrix
    cell: Cell
    folder: Path
    trained: Path
    stage1: bool

    @classmethod
    def of_run(cls, matrix: Matrix, cell: Cell) -> ResultFile:
        """That of a run, which is a stage 1 where its row has nothing else."""
        folder, trained = matrix.folder(cell), training_folder(matrix, cell)
        return cls(matrix, cell, folder, trained, folder == matrix.stage1_folder(cell))

    @classmethod
    def of_stage1(cls, matrix: Matrix, cell: Cell) -> ResultFile | None:
        """That of the stage 1 which a run uses, None where it needs none."""
        folder = matrix.stage1_folder(cell)
        return None if folder is None else cls(matrix, cell, folder, folder, True)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.matrix.output / FOLDER / f"{self.folder.name}.json"

    @property
    def made_by(self) -> dict[str, Any]:
        """All that has to be the same for two results to be of the same run."""
        matrix, cell = self.matrix, self.cell
        selection = matrix.selection(cell.labelled, cell.seed)
        common = {
            "study": str(matrix.opened.dataset.get("name", matrix.study.name)),
            "labelled": cell.labelled,
            "seed": cell.seed,
            "training seed": matrix.training_seed(cell.seed),
            "labelled cases": list(selection.labelled),
            "unjudged": matrix.unjudged,
        }
        if self.stage1:
            return {"stage 1": matrix.stage1_name(cell)} | common
        return {
            "row": cell.row,
            "outside": matrix.rows[cell.row].outside,
            "preset": matrix.preset,
            "settings": matrix.row_settings(cell.row),
            "scored": matrix.scored,
        } | common

    def read(self) -> Result | None:
        """The result, None where the run is not finished.

        Raises CPS4Error for a damaged file, a foreign one, and one of another configuration.
        """
        if not self.path.is_file():
            return None
        cure = f"Copy it again from where the run was done, or delete it; {ANEW}"
        try:
            content = read_json(self.path, "result of a run")
        except CPS4Error as error:
            raise CPS4Error(error.cause, path=self.path, cure=cure) from error
        try:
            made_by = dict(content["made by"])
            found = Result.model_validate(content if content["format"] == FORMAT else None)
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            cause = "This is no result of a run that this version reads"
            raise CPS4Error(cause, path=self.path, cure=cure) from error
        changed = [k for k, v in self.made_by.items() if k not in made_by or made_by[k] != v]
        changed += self._changed_options(content.get("options", {}))
        if changed:
            raise CPS4Error(
                f"This is the result of a run with another {', '.join(changed)}",
                path=self.path,
                cure="Keep results of another comparison in a folder of their own; to train this "
                f"run here, delete the file and, if it is there, runs/{self.folder.name}",
            )
        return found

    def write(self) -> None:
        """Write it from the folder of the run, whose scores are complete."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "made by": self.made_by | self._trained_on(),
            "options": self._options(),
            "cases": self._measures(),
            "cost": self._seconds(),
            "curve": _curve(self.trained / ("stage1" if self.stage1 else "stage2") / "metrics.csv"),
        }
        model = self.trained / (STAGE1_MODEL if self.stage1 else MODEL)
        if model.is_file():  # an outside peer has none
            info = read_model(model.parent)
            content["cost"] |= info.metrics.get("stage2", {}).get("cost", {})
            content["encoder_weights"] = info.encoder_weights
            content["device"] = str(info.provenance.get("device", "unknown"))
        # A line a part: small, and still to be read and compared by eye.
        parts = (
            f"{json.dumps(k)}: {json.dumps(_short(v), ensure_ascii=False)}"
            for k, v in content.items()
        )
        write_text(self.path, "{\n" + ",\n".join(parts) + "\n}\n")

    def _options(self) -> dict[str, Any]:
        """Every option in use by name, for a preset may change under its name; a stage 1 has those
        it depends on in the name of its folder."""
        if self.stage1 or self.matrix.rows[self.cell.row].outside:
            return {}
        config = self.matrix.config(self.cell.row)
        parts = options_in_use(config.model_dump(mode="json"))
        return {
            f"{part}.{name}": value
            for part, options in parts.items()
            if isinstance(options, dict)
            for name, value in options.items()
        }

    def _changed_options(self, before: dict[str, Any]) -> list[str]:
        """Options with another value; what only one version knows says nothing."""
        now = self._options()
        return [k for k, v in now.items() if k in before and before[k] != _short(v)]

    def _trained_on(self) -> dict[str, Any]:
        """The labelled cases that the run names itself: the study may have others by now."""
        for name in BEGUN:
            if (self.trained / name).is_file():
                return {"labelled cases": read_json(self.trained / name, name)["labelled"]}
        return {}

    def _measures(self) -> dict[str, dict[str, float | None]]:
        wanted = None
        if self.stage1:
            selection = self.matrix.selection(self.cell.labelled, self.cell.seed)
            # Maps of more cases were scored once: no mean may mix the two.
            wanted = {case.id for case in self.matrix.mapped_cases(selection)}
            if not wanted:
                return {}
        cases = read_json(self.folder / SCORES, "scores of a run")["cases"]
        return {c: v["measures"] for c, v in cases.items() if wanted is None or c in wanted}

    def _seconds(self) -> dict[str, float]:
        found = read_json(self.trained / COST) if (self.trained / COST).is_file() else {}
        first = None if self.stage1 else ResultFile.of_stage1(self.matrix, self.cell)
        before = first.read() if first else None
        if before is not None and "seconds" in before.cost:
            found["stage1_seconds"] = before.cost["seconds"]
        warm = None if self.stage1 else warmup_folder(self.matrix, self.cell)
        if warm is not None and (warm / WARMED_UP).is_file():
            found["warmup_seconds"] = read_json(warm / WARMED_UP)["seconds"]
        return found


def keep_finished(matrix: Matrix, cells: Iterable[Cell]) -> None:
    """Write the files that finished runs lack: they ended before there were such files, or were
    killed at their last step."""
    for cell in cells:
        for file in (ResultFile.of_stage1(matrix, cell), ResultFile.of_run(matrix, cell)):
            if file and not file.path.is_file() and (file.folder / SCORES).is_file():
                file.write()


def _short(value: Any) -> Any:
    """Numbers to six digits: more than any table shows, in half the space."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return [_short(v) for v in value] if isinstance(value, list) else value


def _curve(log: Path) -> dict[str, list[float | None]]:
    columns = read_metrics(log) if log.is_file() else {}
    return {
        name: [float(v) if math.isfinite(v) else None for v in values]
        for name, values in columns.items()
        if name.startswith(CURVE)
    }
