"""Working slices of a study, made once and memory-mapped afterwards.

A case is two 8-bit arrays, images and class indices, named by what they were made from: when the
image, its label, the schema or the working size changes, the name changes and the case is made
again. Training never waits for a compressed volume.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.config import InputConfig
from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path
from CPS4Core.progress import Progress
from CPS4Core.schema import IGNORE_INDEX
from CPS4Core.slices.grid import SliceGrid, make_grid, working_slices

if TYPE_CHECKING:
    from CPS4Core.schema import LabelSchema
    from CPS4Core.study.folder import Case, Study
    from CPS4Core.volumes.sagittal import SagittalStack

_LAYOUT = 2


@dataclass(frozen=True)
class CachedCase:
    """One case at the working size.

    `images` [S, h, w] uint8 (0..255 is the intensity window), `labels` [S, h, w] uint8 class
    indices or None for an unlabelled case. `spacing` (slice, row, col) in mm of these voxels;
    `content` (top, left, height, width) of the image inside the working slice.
    """

    id: str
    images: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, float, float]
    content: tuple[int, int, int, int]

    @property
    def classes(self) -> set[int]:
        """The class indices that the labels show."""
        if self.labels is None:
            return set()
        return {int(i) for i in np.unique(np.asarray(self.labels)) if i != IGNORE_INDEX}


def default_cache_folder(study: Study) -> Path:
    """`STUDY/.cps4cache` where the study can be written, else a folder in the user's cache."""
    if os.access(study.folder, os.W_OK):
        return study.folder / ".cps4cache"
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    name = hashlib.sha256(str(study.folder.resolve()).encode()).hexdigest()[:16]
    return base / "cps4" / name


def cache_cases(
    study: Study,
    case_ids: Iterable[str],
    options: InputConfig,
    progress: Progress | None = None,
    folder: Path | None = None,
    with_labels: bool = True,
) -> list[CachedCase]:
    """The cases' slices, made where they are missing or stale.

    `with_labels=False` never opens a label file: it is how unlabelled training cases are read even
    where a label exists. Raises CPS4Error for a volume that cannot be read.
    """
    folder = folder or default_cache_folder(study)
    progress = progress or Progress()
    return [
        _cached_case(study.cases[case_id], study.schema, options, folder, with_labels)
        for case_id in progress.track(list(case_ids), "caching slices")
    ]


def _cached_case(
    case: Case, schema: LabelSchema, options: InputConfig, folder: Path, with_labels: bool
) -> CachedCase:
    image_file, geometry_file = (
        slot(folder, case.id, what, [case.image], {"input": options.model_dump()})
        for what in ("images", "geometry")
    )
    label_path = case.label if with_labels else None
    label_file = None
    if label_path is not None:
        meaning = {"input": options.model_dump(), "schema": schema.to_dict()}
        label_file = slot(folder, case.id, "labels", [case.image, label_path], meaning)
    needed = [image_file, geometry_file, *([label_file] if label_file else [])]
    if not all(file.is_file() for file in needed):
        _make(case, schema, options, image_file, geometry_file, label_path, label_file)
    return open_case(case.id, image_file, geometry_file, label_file)


def open_case(
    case_id: str, image_file: Path, geometry_file: Path, label_file: Path | None
) -> CachedCase:
    """A case whose arrays are there; raises CPS4Error for a damaged one."""
    labels = None if label_file is None else open_array(label_file)
    slice_mm, row_mm, col_mm, *content = open_array(geometry_file).tolist()
    top, left, height, width = (int(c) for c in content)
    spacing = (slice_mm, row_mm, col_mm)
    return CachedCase(case_id, open_array(image_file), labels, spacing, (top, left, height, width))


def slot(folder: Path, case_id: str, what: str, sources: list[Path], meaning: dict) -> Path:
    """The file of a case's array that is made from these files with this meaning."""
    stats = []
    for source in sources:
        try:
            stat = source.stat()
        except OSError as error:
            raise CPS4Error(f"Cannot read the file ({error.strerror})", path=source) from error
        stats.append([stat.st_size, stat.st_mtime_ns])
    made_from = json.dumps([_LAYOUT, stats, meaning], sort_keys=True, default=str)
    key = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    return folder / f"{case_id}.{what}.{key}.npy"


def open_array(path: Path) -> np.ndarray:
    """The stored array, memory-mapped; raises CPS4Error for a damaged file."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise CPS4Error(
            f"The slice cache is damaged ({error})",
            path=path,
            cure="Delete this file and run again",
        ) from error


def _make(
    case: Case,
    schema: LabelSchema,
    options: InputConfig,
    image_file: Path,
    geometry_file: Path,
    label_path: Path | None,
    label_file: Path | None,
) -> None:
    from CPS4Core.volumes.reading import read_label_map, read_volume
    from CPS4Core.volumes.sagittal import to_sagittal

    volume = read_volume(case.image)
    stack = to_sagittal(volume)
    grid = make_grid(stack.array.shape[1:], stack.spacing[1:], options)
    store_images(stack, grid, image_file, geometry_file)
    if label_path is not None and label_file is not None:
        values = to_sagittal(read_label_map(label_path, like=volume)).array
        foreign = schema.foreign_values(values)
        if foreign:
            raise CPS4Error(
                f"The label holds values {foreign} that the study's schema does not know",
                path=label_path,
                cure="Correct the label or dataset.json; cps4 study check lists every case",
            )
        indices = schema.to_indices(values)
        store_array(label_file, np.stack([grid.labels_to_working(plane) for plane in indices]))


def store_images(
    stack: SagittalStack, grid: SliceGrid, image_file: Path, geometry_file: Path
) -> None:
    """Write a volume's working slices, and where they lie."""
    store_array(geometry_file, np.array([stack.spacing[0], *grid.working_spacing, *grid.content]))
    store_array(image_file, np.round(working_slices(stack.array, grid) * 255).astype(np.uint8))


def store_array(path: Path, array: np.ndarray) -> None:
    """Write an array and remove what was made for the same case from other sources."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)
    case_and_kind = path.name.rsplit(".", 2)[0]
    for stale in path.parent.glob(f"{case_and_kind}.*.npy"):
        if stale != path and not stale.name.startswith(".partial"):
            stale.unlink(missing_ok=True)
