"""The files of one segmented case, and whether they are finished and up to date.

OUTPUT/CASE.nii.gz       the label map in the input's own geometry (or .nrrd, .mha)
OUTPUT/CASE.seg.nrrd     the same as a segmentation with names and colours, where asked for
OUTPUT/CASE_qc.png       slices with labels and confidences
OUTPUT/uncertainty/CASE.nii.gz  how doubtful each label is (8-bit, 0..255 stands for 0..1), where
                         asked for; see CPS4Core.inference.uncertainty
OUTPUT/CASE.json         structures, confidences, warnings; written last: the case is finished
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_error, write_json
from CPS4Core.inference.fingerprint import input_fingerprint, model_identity
from CPS4Core.inference.predictor import Segmentation
from CPS4Core.model_folder import ModelInfo

FORMATS = ("nii.gz", "nrrd", "mha")
UNCERTAINTY = "uncertainty"
"""Folder of the uncertainty maps, apart from the label maps, so that those can be evaluated."""


@dataclass(frozen=True)
class CaseFiles:
    """What is written for a case, and where.

    `file_format` is one of FORMATS; `segmentation` and `qc` ask for the further files.
    """

    output: Path
    case_id: str
    file_format: str = "nii.gz"
    segmentation: bool = False
    qc: bool = True
    uncertainty: bool = False

    @property
    def summary(self) -> Path:
        """CASE.json."""
        return self.output / f"{self.case_id}.json"

    @property
    def names(self) -> list[str]:
        """The other files that are asked for, the label map first."""
        names = [f"{self.case_id}.{self.file_format}"]
        if self.segmentation:
            names.append(f"{self.case_id}.seg.nrrd")
        if self.qc:
            names.append(f"{self.case_id}_qc.png")
        if self.uncertainty:
            names.append(f"{UNCERTAINTY}/{self.case_id}.{self.file_format}")
        return names

    def is_finished(self, model: str, source: Path, calibration: str | None = None) -> bool:
        """Whether all files are there, made from this input by the model with this fingerprint.

        `calibration` is the fingerprint of the model's calibration, None without one. Raises
        CPS4Error where the case was made from something else: that is for the user to decide.
        Files that are asked for now and were not before make a case unfinished.
        """
        if not self.summary.is_file():
            return False
        try:
            content = read_json(self.summary, "description of the case")
            before = {
                "model": content["model"]["fingerprint"],
                "calibration": content["model"].get("calibration"),
                "input": content["input"],
            }
        except (CPS4Error, KeyError, TypeError):
            return False
        now = {"model": model, "calibration": calibration, "input": input_fingerprint(source)}
        changed = [what for what in now if before[what] != now[what]]
        if changed:
            raise CPS4Error(
                f"The output folder holds this case made with another {' and '.join(changed)}",
                cure="Make it again with --overwrite, or choose another output folder",
            )
        return all((self.output / name).is_file() for name in self.names)

    def write(
        self,
        found: Segmentation,
        info: ModelInfo,
        made_from: Mapping[str, str | None],
        seconds: float,
    ) -> None:
        """Write all files; CASE.json, which marks the case as finished, goes first and comes last.

        `made_from` holds the fingerprints `model`, `calibration` (None without one) and `input`,
        the `engine`'s name and the rule for `levels`. Raises CPS4Error where the folder cannot be
        written.
        """
        from CPS4Core.volumes.writing import write_segmentation, write_volume

        try:
            self.summary.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(error, self.summary) from error
        write_volume(found.label, self.output / self.names[0])
        if self.segmentation:
            path = self.output / f"{self.case_id}.seg.nrrd"
            write_segmentation(found.label, path, info.schema)
        if self.uncertainty and found.uncertainty is not None:
            path = self.output / UNCERTAINTY / f"{self.case_id}.{self.file_format}"
            write_volume(found.stack.restore(found.uncertainty), path)
        if self.qc:
            from CPS4Core.report.qc_picture import qc_picture

            qc_picture(
                found.stack.array,
                found.indices,
                found.stack.spacing,
                info.schema,
                self.output / f"{self.case_id}_qc.png",
                found.confidence,
                self.case_id,
                found.uncertainty,
            )
        write_json(
            self.summary,
            {
                "case": self.case_id,
                "seconds": round(seconds, 2),
                "model": {
                    **model_identity(info),
                    "fingerprint": made_from["model"],
                    "calibration": made_from["calibration"],
                },
                "input": made_from["input"],
                "engine": made_from["engine"],
                "levels": made_from["levels"],
                "files": self.names,
                "confidence": round(found.levels_confidence, 4),
                "calibrated": found.calibrated,
                "structures": [asdict(s) for s in found.structures],
                "warnings": found.warnings,
            },
        )
