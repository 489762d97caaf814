"""`segment`: one volume to its named label map; the network stays loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.files import make_folder
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.engine import Engine
from CPS4Core.inference.fingerprint import model_fingerprint, model_identity
from CPS4Core.inference.models import open_model
from CPS4Core.inference.predictor import Predictor, Segmentation, levels_rule
from CPS4Core.inference.segment import predict_file
from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.volumes.reading import case_id_of
from CPS4Core.volumes.writing import write_volume
from CPS4Core.worker.gpu_memory import or_on_the_cpu
from CPS4Core.worker.loaded import Loaded


@dataclass(frozen=True)
class Arguments:
    """As the options of `cps4 segment`; `model`: a folder, a name, or null for the default."""

    volume: str
    output: str
    model: str | None = None
    device: str = "auto"
    engine: str = "auto"
    levels: str | None = None
    threads: int | None = None


def run(arguments: Arguments, progress: Progress, loaded: Loaded) -> dict[str, Any]:
    """Write OUTPUT/CASE-labels.nrrd and describe it.

    Result: label (the file: schema values on the input's grid), schema, structures [{name, value,
    voxels, volume_mm3, confidence}], levels_confidence, calibrated, warnings, model {name, folder,
    fingerprint, data, licence, method, encoder_weights, levels}, engine, seconds. The step events
    of the task "segmenting slices" tell how far it is.
    """
    began = time.monotonic()
    info = open_model(Path(arguments.model) if arguments.model else None)
    levels = levels_rule(info, arguments.levels)
    fingerprint = model_fingerprint(info)
    folder = make_folder(arguments.output)  # one that cannot be written is known before the work
    path = Path(arguments.volume)
    loaded.relay.target = progress

    def segment(device: str) -> tuple[Segmentation, str]:
        key = (str(info.folder.resolve()), fingerprint, device, arguments.engine, arguments.threads)
        engine = loaded.engine.get(key, lambda: _load(info, device, arguments, loaded))
        name = engine.name
        found = predict_file(path, Predictor(info, _Watched(engine, progress), levels), progress)
        if engine.name != name:  # it moved to the CPU; the next volume may find the GPU free again
            loaded.engine.drop()
        return found, engine.name

    found, engine = or_on_the_cpu(segment, arguments.device, loaded.engine.drop, progress)
    progress.check()
    label = folder / f"{case_id_of(path)}-labels.nrrd"
    write_volume(found.label, label)
    return {
        "label": str(label),
        "schema": info.schema.to_dict(),
        "structures": [asdict(structure) for structure in found.structures],
        "levels_confidence": round(found.levels_confidence, 4),
        "calibrated": found.calibrated,
        "warnings": found.warnings,
        "model": {
            **model_identity(info),
            "folder": str(info.folder),
            "fingerprint": fingerprint,
            "levels": levels,
        },
        "engine": engine,
        "seconds": round(time.monotonic() - began, 2),
    }


def _load(info: ModelInfo, device: str, arguments: Arguments, loaded: Loaded) -> Engine:
    loaded.relay.message(f"Loading the model {info.name}")
    return make_engine(info, device, arguments.engine, arguments.threads, loaded.relay)


class _Watched:
    """An engine that tells of each slice and can be stopped between slices."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine, self._progress, self._first = engine, progress, True
        self.name = engine.name

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        """As the engine's."""
        self._progress.check()
        return self._engine.probabilities(working)

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        """As the engine's; the volume comes first, then perhaps a few slices of it, turned."""
        task = "segmenting slices" if self._first else "checking the orientation"
        self._first = False
        return self._progress.track(self._engine.each(working), task, total=len(working))
