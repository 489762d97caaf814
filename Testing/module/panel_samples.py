"""A small made spine: a volume in the scene, and what a worker would answer for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from CPS4Core.schema import built_in_schema

SCHEMA = built_in_schema("mrspineseg")
TOP_DOWN = ("L2", "L2/L3", "L3", "L3/L4", "L4", "L4/L5", "L5", "L5/S", "S")
SLICES, HEIGHT, DEPTH = 5, 7, 12
"""Sagittal slices, rows of a structure, and its columns, in voxels of 4 x 1 x 1 mm."""


def value(name: str) -> int:
    """The schema's value of a structure."""
    return SCHEMA.structures[SCHEMA.index_of(name) - 1].value


def labels() -> np.ndarray:
    """Structures below each other [slices, rows from the top, columns from the front]."""
    array = np.zeros((SLICES, HEIGHT * len(TOP_DOWN) + 6, DEPTH + 8), np.uint8)
    for number, name in enumerate(TOP_DOWN):
        top = 3 + number * HEIGHT
        array[1:-1, top : top + HEIGHT, 4 : 4 + DEPTH] = value(name)
    return array


def add_volume(name: str = "T2 sag") -> Any:
    """The spine's volume in the scene, sagittal."""
    array = 20 + 10 * labels().astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, name=name)
    matrix = vtk.vtkMatrix4x4()
    to_ras = [[0, 0, 4, -10], [-1, 0, 0, 12], [0, -1, 0, 30], [0, 0, 0, 1]]
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, to_ras[row][column])
    node.SetIJKToRASMatrix(matrix)
    return node


def write_like(volume: Any, array: np.ndarray, path: Path) -> str:
    """`array` as a file on the volume's grid, as the worker writes it."""
    from CPS4SegmentLib.geometry import patient_matrix, sitk_geometry

    image = sitk.GetImageFromArray(array)
    sitk_geometry(image, patient_matrix(volume))
    sitk.WriteImage(image, str(path))
    return str(path)


def segment_result(volume: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """An answer to `segment`; L2 is doubtful, L3 wants a look."""
    sure = {"L2": 0.31, "L3": 0.7}
    return {
        "label": write_like(volume, labels(), folder / "label.nrrd"),
        "schema": SCHEMA.to_dict(),
        "structures": [
            {"name": n, "value": value(n), "confidence": sure.get(n, 0.96)} for n in TOP_DOWN
        ],
        "levels_confidence": 0.87,
        "calibrated": True,
        "warnings": ["The image is noisy"],
        "model": {"name": "starter", "folder": "/models/starter", "fingerprint": "abc"},
        **changes,
    }


MODEL = {
    "name": "starter",
    "folder": "/models/starter",
    "data": "made spines",
    "licence": "none",
    "trained_on": "2 cases",
    "quality": "mean Dice 0.8",
    "structures": list(TOP_DOWN),
    "schema": SCHEMA.to_dict(),
    "prompt_maps": True,
    "new_prompts": True,
    "calibrated": True,
    "problem": None,
}
"""An entry of the worker's answer to `models`."""


def maps_result(volume: Any, folder: Path, prompts: list[str] | None = None) -> dict[str, Any]:
    """An answer to `maps`: L3 and S trained, T9 not; or prompts of one's own."""
    folder.mkdir(parents=True, exist_ok=True)
    names = prompts or ["S", "L3", "T9"]
    described = []
    for number, name in enumerate(names):
        soft = np.zeros(labels().shape, np.uint8)
        soft[:, 10 * number : 10 * number + 10] = 200
        stem = folder / f"map{len(list(folder.iterdir()))}"
        described.append(
            {
                "name": name,
                "prompt": name if prompts else SCHEMA.prompts[SCHEMA.index_of(name)],
                "map": write_like(volume, soft, stem.with_suffix(".soft.nrrd")),
                "binary": write_like(
                    volume, (soft > 0).astype(np.uint8), stem.with_suffix(".nrrd")
                ),
                "thresholds": [None, 0.25, 0.5, 0.75, None],
                "peak": 0.78,
                "trained": not prompts and name != "T9",
            }
        )
    return {
        "prompts": described,
        "integrated": None if prompts else write_like(volume, labels(), folder / "integrated.nrrd"),
        "schema": SCHEMA.to_dict(),
        "slice_axis": {"origin_lps": [10, 0, 0], "direction_lps": [-1, 0, 0], "spacing_mm": 4.0},
        "encoder_weights": "own",
    }
