"""nnU-Net v2 as an outside peer: trained on the labelled cases alone, its predictions read back.

Isensee et al., Nature Methods 2021. It is an optional dependency that is used by its commands; it
plans, augments and stops as its authors chose, so its budget is its own. By default it mirrors
images along all axes, which also turns the spine upside down; trainers named `..._NoMirroring` do
not. Its training is not seeded.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.evaluation.matching import label_files
from CPS4Core.files import atomic_path, make_folder, read_json, write_json
from CPS4Core.peers.outside_command import run_outside
from CPS4Core.progress import Progress
from CPS4Core.study.export import SPLITS_FINAL, consecutive, export_nnunet
from CPS4Core.study.folder import Study
from CPS4Core.study.splits import Selection

INSTALL = "pip install nnunetv2 (in the environment of CPS4Core, or any whose commands are on PATH)"
PLANNED, PREDICTED = "planned.json", "predicted.json"


def is_installed() -> bool:
    """Whether nnU-Net's commands are on PATH."""
    return shutil.which("nnUNetv2_train") is not None


def require_installed() -> None:
    """Raise CPS4Error with the line that installs nnU-Net where it is missing."""
    if not is_installed():
        raise CPS4Error("nnU-Net v2 is not installed", cure=f"Install it: {INSTALL}")


@dataclass
class NnUNet:
    """One training of nnU-Net v2 in its folder.

    FOLDER/peer.json                    what is run on what
    FOLDER/raw, preprocessed, results   nnU-Net's own folders
    FOLDER/images, predicted            the cases to predict, and what it said
    FOLDER/found/CASE...                the predictions in the study's label values
    FOLDER/log.txt                      its commands and their output
    """

    folder: Path
    study: Study
    selection: Selection
    cases: tuple[str, ...]
    """Which cases are predicted."""
    configuration: str = "3d_fullres"
    trainer: str = "nnUNetTrainer"
    device: str = "cuda"
    processes: int = 2
    number: int = 501
    """Of the data set; each run has folders of its own, so it may be the same for all."""

    def run(self, progress: Progress) -> Path:
        """Export, plan, train, predict and read back; finished parts are not repeated.

        Returns the folder of the predictions in the study's label values. Raises CPS4Error where
        nnU-Net is missing or fails, and for a folder of another run.
        """
        self._begin()
        if not self._predicted():
            require_installed()
            dataset = self._export(progress)
            for command, done in self.commands(dataset):
                if not done.exists():
                    progress.message(f"nnU-Net: {command[0]}")
                    log = self.folder / "log.txt"
                    run_outside(command, self.environment, log, progress)
                    self._after(command[0], dataset, done)
        return self.read_back(self.folder / "predicted")

    @property
    def environment(self) -> dict[str, str]:
        """Where nnU-Net keeps its files."""
        parts = ("raw", "preprocessed", "results")
        return {f"nnUNet_{part}": str(self.folder.resolve() / part) for part in parts}

    @property
    def fold(self) -> str:
        """The study's own validation cases as fold 0; without them everything trains."""
        return "0" if self.selection.val else "all"

    def commands(self, dataset: str) -> Iterator[tuple[list[str], Path]]:
        """nnU-Net's commands in their order, each with what is there once it has finished."""
        number, chosen = str(self.number), (self.configuration, self.fold)
        preprocessed = self.folder / "preprocessed" / dataset
        trained = self.folder / "results" / dataset
        trained = trained / f"{self.trainer}__nnUNetPlans__{self.configuration}"
        trained = trained / f"fold_{self.fold}"
        plan = ["nnUNetv2_plan_and_preprocess", "-d", number, "-c", self.configuration]
        yield (
            [*plan, "--verify_dataset_integrity", "-np", str(self.processes)],
            preprocessed / PLANNED,
        )
        train = ["nnUNetv2_train", number, *chosen, "-tr", self.trainer, "-device", self.device]
        # --c begins anew where there is nothing to go on from
        yield [*train, "--c"], trained / "checkpoint_final.pth"
        predict = ["nnUNetv2_predict", "-i", str(self.folder / "images")]
        predict += ["-o", str(self.folder / "predicted"), "-d", number, "-c", self.configuration]
        predict += ["-f", self.fold, "-tr", self.trainer, "-device", self.device]
        yield [*predict, "--continue_prediction"], self.folder / PREDICTED

    def script(self, dataset: str) -> Iterator[str]:
        """The same as lines for a shell."""
        for name, value in self.environment.items():
            yield f"export {name}={shlex.quote(value)}"
        for command, done in self.commands(dataset):
            yield shlex.join(command)
            if done.name == PLANNED and self.selection.val:
                yield shlex.join(["cp", str(self._splits(dataset)), str(done.parent)])

    def read_back(self, predictions: Path) -> Path:
        """Write predictions of the exported data set in the study's values; returns their folder.

        Raises CPS4Error where a wanted case was not predicted.
        """
        files = label_files(predictions)
        missing = [case for case in self.cases if case not in files]
        if missing:
            raise CPS4Error(
                f"nnU-Net has not predicted {', '.join(missing)}",
                path=predictions,
                cure="Run the same command again",
            )
        found = make_folder(self.folder / "found")
        for case in self.cases:
            target = found / f"{case}{self.study.file_ending}"
            if not target.exists():
                _in_study_values(files[case], target, self.study)
        return found

    def _begin(self) -> None:
        described: dict[str, Any] = {
            "labelled": list(self.selection.labelled),
            "validation": list(self.selection.val),
            "predicted": list(self.cases),
            "configuration": self.configuration,
            "trainer": self.trainer,
        }
        description = self.folder / "peer.json"
        if not description.is_file():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise CPS4Error(
                    "The output folder is not empty and holds no nnU-Net run",
                    path=self.folder,
                    cure="Choose an empty or new folder",
                )
            make_folder(self.folder)
            write_json(description, described)
            return
        before = read_json(description, "description of the nnU-Net run")
        changed = sorted(k for k in described if before.get(k) != described[k])
        if changed:
            raise CPS4Error(
                f"This folder holds an nnU-Net run with another {', '.join(changed)}",
                path=self.folder,
                cure="Choose another output folder, or repeat the command that began this run",
            )

    def _predicted(self) -> bool:
        return (self.folder / PREDICTED).is_file()

    def _export(self, progress: Progress) -> str:
        """The labelled and validation cases as nnU-Net's data set, and the images to predict."""
        raw = export_nnunet(
            self.study, self.selection, self.folder / "raw", self.number, progress, test=False
        )
        images = make_folder(self.folder / "images")
        known = self.study.test_cases | self.study.cases
        for case in self.cases:
            target = images / f"{case}_0000{self.study.file_ending}"
            if not target.exists():
                with atomic_path(target) as temporary:
                    shutil.copyfile(known[case].image, temporary)
        return raw.name

    def _splits(self, dataset: str) -> Path:
        return self.folder / "raw" / dataset / SPLITS_FINAL

    def _after(self, command: str, dataset: str, done: Path) -> None:
        """Mark what leaves no sign of its own; after planning our split takes its place."""
        if done.name == PLANNED and self.selection.val:
            shutil.copyfile(self._splits(dataset), done.with_name(SPLITS_FINAL))
        if done.name in (PLANNED, PREDICTED):
            write_json(done, {"finished": command})
        elif not done.exists():
            raise CPS4Error(f"{command} ended without its result", path=done)


def _in_study_values(source: Path, target: Path, study: Study) -> None:
    import SimpleITK as sitk

    from CPS4Core.volumes.reading import read_label_map
    from CPS4Core.volumes.writing import write_volume

    label = read_label_map(source)
    indices = consecutive(study.schema).to_indices(sitk.GetArrayFromImage(label))
    image = sitk.GetImageFromArray(study.schema.to_values(indices))
    image.CopyInformation(label)
    write_volume(image, target)
