"""Many volumes to label maps; a bad one is reported and the rest goes on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.files import make_folder, write_json
from CPS4Core.inference.calibration import read_calibration
from CPS4Core.inference.case_files import FORMATS, CaseFiles
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.fingerprint import input_fingerprint, model_fingerprint
from CPS4Core.inference.models import open_model
from CPS4Core.inference.predictor import Predictor, Segmentation, levels_rule
from CPS4Core.progress import Progress
from CPS4Core.volumes.reading import find_inputs, read_volume

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Options:
    """What to write, where it runs and what to do with finished cases."""

    file_format: str = "nii.gz"
    segmentation: bool = False
    qc: bool = True
    maps: bool = False
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    overwrite: bool = False
    levels: str | None = None
    """`raw`, `decoded` or None for the model's own rule."""
    uncertainty: bool = False


@dataclass
class Outcome:
    """Case ids by what became of them; `failed` says why."""

    finished: dict[str, list[str]] = field(default_factory=dict)
    """The warnings of each case made now."""
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    maps_failed: bool = False

    @property
    def exit_code(self) -> int:
        """0 if all went well, else 1."""
        return 1 if self.failed or self.maps_failed else 0


def segment_volumes(
    inputs: Sequence[Path],
    output: Path,
    model: Path | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Segment every volume among files, DICOM folders and folders of them into `output`.

    Writes the files that `CaseFiles` names, `summary.json`, and with `options.maps` the prompt
    maps in OUTPUT/maps as `cps4 maps` does. Raises CPS4Error where nothing can be done at all: no
    input, no usable model or device, an output that cannot be written. Raises Cancelled when asked
    to stop; finished cases stay.
    """
    options, progress = options or Options(), progress or Progress()
    if options.file_format not in FORMATS:
        raise CPS4Error(f"No format '{options.file_format}'", cure=f"Known: {', '.join(FORMATS)}")
    cases = find_inputs(list(inputs))
    info = open_model(model)
    if options.maps and not info.has_prompt_maps:
        raise CPS4Error("This model has no prompt maps", path=info.folder, cure="Leave --maps out")
    if model is None:
        progress.message(
            f"Segmenting with the model {info.name}, trained on {info.data} (licence: "
            f"{info.licence}); another one is given with --model"
        )
    make_folder(output)  # a folder that cannot be written is known before the work begins
    fingerprint = model_fingerprint(info)
    levels = levels_rule(info, options.levels)
    if levels != "raw":  # other labels from the same weights
        fingerprint += f"-{levels}"
    calibration = read_calibration(info, levels)
    calibrated = calibration.fingerprint if calibration else None
    outcome = Outcome()
    todo: list[tuple[CaseFiles, Path]] = []
    for case_id, path in cases:
        files = CaseFiles(
            output,
            case_id,
            options.file_format,
            options.segmentation,
            options.qc,
            options.uncertainty,
        )
        try:
            _check_name(files)
            if not options.overwrite and files.is_finished(fingerprint, path, calibrated):
                outcome.skipped.append(case_id)
            else:
                todo.append((files, path))
        except CPS4Error as error:
            _fail(outcome, case_id, error, progress)
    if outcome.skipped:
        progress.message(
            f"{len(outcome.skipped)} cases were finished before and are skipped "
            "(--overwrite makes them again)"
        )
    try:
        if todo:
            engine = make_engine(info, options.device, options.engine, options.threads, progress)
            predictor = Predictor(info, engine, levels, options.uncertainty)
            for files, path in progress.track(todo, "segmenting"):
                _segment_case(files, path, predictor, fingerprint, outcome, progress)
        if options.maps:
            outcome.maps_failed = _maps(cases, output, info.folder, options, outcome, progress)
    finally:
        with suppress(CPS4Error):  # never in place of the error that stopped the work
            write_json(output / SUMMARY, _summary(outcome, fingerprint))
    good = len(outcome.finished) + len(outcome.skipped)
    progress.message(f"{good} of {len(cases)} cases are segmented in {output}")
    return outcome


def predict_file(path: Path, predictor: Predictor, progress: Progress) -> Segmentation:
    """Read and segment one volume; what the reader remarked joins the warnings.

    Raises CPS4Error for what cannot be read or segmented, Cancelled when asked to stop.
    """
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always", UserWarning)
        found = predictor.predict(read_volume(path), progress)
    said = [str(r.message) for r in remarks if issubclass(r.category, UserWarning)]
    return replace(found, warnings=[*said, *found.warnings])


def _segment_case(
    files: CaseFiles,
    path: Path,
    predictor: Predictor,
    fingerprint: str,
    outcome: Outcome,
    progress: Progress,
) -> None:
    began = time.monotonic()
    try:
        calibration = predictor.calibration
        made_from = {
            "model": fingerprint,
            "calibration": calibration.fingerprint if calibration else None,
            "input": input_fingerprint(path),
            "engine": predictor.engine.name,
            "levels": predictor.levels,
        }
        found = predict_file(path, predictor, progress)
    except Cancelled:
        raise
    except Exception as error:  # of whatever kind: the other cases must not suffer
        _fail(outcome, files.case_id, error, progress)
        return
    # What cannot be written concerns every case that follows, so that error stops the work.
    files.write(found, predictor.info, made_from, time.monotonic() - began)
    outcome.finished[files.case_id] = found.warnings
    for text in found.warnings:
        progress.message(f"{files.case_id}: {text}", "warning")


def _check_name(files: CaseFiles) -> None:
    if files.summary.name == SUMMARY:
        raise CPS4Error(f"A case cannot be called {files.case_id}", cure="Rename the volume")


def _fail(outcome: Outcome, case_id: str, error: Exception, progress: Progress) -> None:
    if isinstance(error, CPS4Error):  # the summary goes without the path
        why = ". ".join(part for part in (error.cause.rstrip("."), error.cure) if part)
    else:
        why = f"{type(error).__name__}: {error}"
    outcome.failed[case_id] = why
    shown = error if isinstance(error, CPS4Error) else why
    progress.message(f"{case_id}: {shown}", "error")


def _maps(
    cases: Sequence[tuple[str, Path]],
    output: Path,
    model: Path,
    options: Options,
    outcome: Outcome,
    progress: Progress,
) -> bool:
    """Prompt maps of the cases that were segmented; whether any failed."""
    good = [path for case_id, path in cases if case_id not in outcome.failed]
    if not good:
        return False
    from CPS4Core.prompt_maps.batch import map_volumes

    code = map_volumes(
        good,
        output / "maps",
        model,
        classes="all",
        device=options.device,
        overwrite=options.overwrite,
        threads=options.threads,
        progress=progress,
    )
    return code != 0


def _summary(outcome: Outcome, fingerprint: str) -> dict[str, Any]:
    return {
        "model": fingerprint,
        "finished": outcome.finished,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
    }
