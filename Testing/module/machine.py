"""A panel on a machine that the test makes up: its worker, its models, its devices."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer

from CPS4Core.schema import built_in_schema

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "CPS4Segment" / "CPS4Segment.py"
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")

GPU = {"name": "cuda:0", "title": "GPU Eight", "memory_mib": 8192, "free_mib": 6144}
CPU = {"name": "cpu", "title": "CPU, 8 cores", "memory_mib": None, "free_mib": None}
MODEL = {
    "name": "lumbar",
    "folder": "/models/lumbar",
    "data": "SPIDER",
    "licence": "CC BY 4.0",
    "trained_on": "18 labelled cases",
    "quality": "mDice 0.832 on 7 test cases",
    "problem": None,
}
BROKEN = {
    "name": "half",
    "folder": "/models/half",
    "problem": "The network is missing: /models/half. Copy the whole folder again.",
}


class Machine:
    """What the fake worker of the panel answers; changes take effect at its next request."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.command = [sys.executable, str(FAKE_WORKER), "good", str(folder)]
        self.moods: dict[str, str] = {}
        self.results: dict[str, Any] = {}
        self.models(MODEL)
        self.devices(GPU, CPU)

    def models(self, *models: dict[str, Any]) -> None:
        """Let these be the models of the machine."""
        self.results["models"] = {"models": list(models)}
        self._write()

    def devices(self, *devices: dict[str, Any], missing: tuple[str, ...] = ()) -> None:
        """Let these be its devices, the first one the default."""
        default = devices[0]["name"]
        probe = {"devices": list(devices), "default": default, "missing": list(missing)}
        self.results["probe"] = probe
        self._write()

    def segment(self, volume: Any, *names: str, mood: str = "good", warnings: Any = ()) -> None:
        """Let a segmentation of that volume find these structures, a slab each, in that mood."""
        schema = built_in_schema("spider")
        array = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        structures = []
        for number, name in enumerate(names):
            value = next(s.value for s in schema.structures if s.name == name)
            array[1:-1, 2 + 4 * number : 5 + 4 * number, 2:8] = value
            structures.append({"name": name, "value": value, "confidence": 0.9})
        label = self.folder / "labels.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(array), str(label))
        self.results["segment"] = {
            "label": str(label),
            "schema": schema.to_dict(),
            "structures": structures,
            "warnings": list(warnings),
            "engine": "torch on cuda:0",
            "model": {"name": "lumbar"},
            "seconds": 3.2,
        }
        self.moods["segment"] = mood
        self._write()

    def starts(self) -> int:
        """How often a worker was started."""
        return len(list(self.folder.glob("life*")))

    def pids(self) -> list[int]:
        """The processes of all workers that ever were."""
        return [int(mark.name.rpartition("-")[2]) for mark in self.folder.glob("life*")]

    def _write(self) -> None:
        content = {"moods": self.moods, "results": self.results}
        (self.folder / "answers.json").write_text(json.dumps(content))


def make_volume(name: str = "T2") -> Any:
    """A grey volume of 8 x 40 x 32 voxels in the scene."""
    voxels = np.random.default_rng(0).integers(0, 500, (8, 40, 32)).astype(np.int16)
    return slicer.util.addVolumeFromArray(voxels, name=name)


def pump(until: Callable[[], Any], seconds: float = 20) -> None:
    """Run the event loop until something is so; fails where it does not become so in time."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not happen in time"
        slicer.app.processEvents()
        time.sleep(0.01)


def click(button: Any) -> None:
    """Click as a user: only what can be seen and is enabled."""
    assert button.enabled, f"'{button.text}' is greyed out: {button.toolTip}"
    assert not button.isHidden()
    button.click()


def choose(box: Any, index: int) -> None:
    """Choose an entry of a combo box as by mouse."""
    box.setCurrentIndex(index)
    box.activated.emit(index)
