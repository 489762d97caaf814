"""The `cps4` commands that make one run of a comparison, as their arguments."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from CPS4Core.comparison.matrix import Cell, Matrix
from CPS4Core.comparison.shared_training import training_folder
from CPS4Core.comparison.shared_warmup import warmup_settings
from CPS4Core.study.folder import Case
from CPS4Core.study.splits import Selection


@dataclass(frozen=True)
class Commands:
    """Those of a run on a device with a number of CPU threads (None: all cores)."""

    matrix: Matrix
    cell: Cell
    device: str
    threads: int | None = None

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.matrix.folder(self.cell)

    def stage1(self, folder: Path) -> Iterator[list[str]]:
        """Stage 1, and the scores of its prompt maps."""
        settings = self.matrix.stage1_settings(self.cell.row)
        yield ["pretrain", *self._training(settings), "--output", str(folder)]
        cases = self.matrix.mapped_cases(self._selection)
        if not cases:
            return
        yield [
            *("maps", *_images(cases), "--model", str(folder), "--output", str(folder / "maps")),
            *("--device", self.device, "--no-pictures", *self._threads),
        ]
        yield self._evaluate(folder / "maps" / "integrated", cases, folder)

    def warmup(self, folder: Path) -> list[str]:
        """The warm-up that rows share, by a method that has a teacher to pass on."""
        method = ["stage2.method=mean-teacher", "stage2.pseudo_labels=voxel"]
        settings = [*warmup_settings(self.matrix, self.cell.row), *method]
        return ["train", *self._training(settings), "--stage", "warmup", "--output", str(folder)]

    def training(self, pretrained: Path | None, warmed_up: Path | None) -> list[str]:
        """The training, with the stage 1 and the warm-up of other folders."""
        row = self.matrix.rows[self.cell.row]
        if row.outside:
            return [
                *(*shlex.split(row.outside)[1:], str(self.matrix.study), "--output", str(self.run)),
                *(*self._cases, "--cases", self.matrix.scored),
                *("--device", self.device.split(":")[0]),
            ]
        settings = self.matrix.row_settings(self.cell.row)
        stage1 = ["--pretrained", str(pretrained)] if pretrained else []
        warmup = ["--warmed-up", str(warmed_up)] if warmed_up else []
        return ["train", *self._training(settings), *stage1, *warmup, "--output", str(self.run)]

    def scoring(self) -> Iterator[list[str]]:
        """The segmentations of the scored cases and their scores."""
        scored = self.matrix.scored_cases(self._selection)
        found = self.run / "found"
        if not self.matrix.rows[self.cell.row].outside:
            model = training_folder(self.matrix, self.cell)
            levels = self.matrix.config(self.cell.row).inference.levels
            yield [
                *("segment", *_images(scored), "--model", str(model), "--output", str(found)),
                *("--levels", levels, "--no-qc", "--engine", "torch"),
                *("--device", self.device, *self._threads),
            ]
        yield self._evaluate(found, scored, self.run)

    @property
    def environment(self) -> dict[str, str]:
        """Of these commands' process: nnU-Net names no GPU by number."""
        _, _, number = self.device.partition(":")
        outside = self.matrix.rows[self.cell.row].outside
        return os.environ | ({"CUDA_VISIBLE_DEVICES": number} if outside and number else {})

    @property
    def _selection(self) -> Selection:
        return self.matrix.selection(self.cell.labelled, self.cell.seed)

    @property
    def _cases(self) -> list[str]:
        seed = self.cell.seed
        chosen = ["--labelled", self.cell.labelled, "--order", self.matrix.order(seed)]
        return [*chosen, "--seed", str(self.matrix.training_seed(seed))]

    @property
    def _threads(self) -> list[str]:
        return ["--threads", str(self.threads)] if self.threads else []

    def _training(self, settings: list[str]) -> list[str]:
        matrix = self.matrix
        return [
            *(str(matrix.study), "--preset", matrix.preset, *self._cases, "--device", self.device),
            *("--cache", str(matrix.output / "cache"), *self._threads),
            *(part for setting in settings for part in ("--set", setting)),
        ]

    def _evaluate(self, found: Path, cases: list[Case], run: Path) -> list[str]:
        labels = {case.label.parent for case in cases if case.label}
        unjudged = ["--unjudged", self.matrix.unjudged] if self.matrix.unjudged else []
        return [
            *("evaluate", str(found), str(labels.pop()), "--allow-missing", "--no-distances"),
            *("--workers", "1", "--output", str(run / "scores"), *unjudged),
        ]


def _images(cases: list[Case]) -> list[str]:
    return [str(case.image) for case in cases]
