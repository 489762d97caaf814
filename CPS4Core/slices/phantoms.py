"""Working slices of varied phantoms, made once and kept beside those of the study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.config import InputConfig, PhantomsConfig
from CPS4Core.progress import Progress
from CPS4Core.slices.cache import CachedCase, open_case, slot, store_array, store_images
from CPS4Core.slices.grid import make_grid

if TYPE_CHECKING:
    from CPS4Core.schema import LabelSchema


def cache_phantoms(
    phantoms: PhantomsConfig,
    schema: LabelSchema,
    options: InputConfig,
    folder: Path,
    progress: Progress | None = None,
) -> list[CachedCase]:
    """The configured number of varied phantoms; only missing ones are made.

    None, with a message, where the schema has no structure that a phantom shows.
    """
    progress = progress or Progress()
    cases = [
        _phantom(phantoms.seed, number, schema, options, folder)
        for number in progress.track(range(phantoms.count), "phantoms", phantoms.count)
    ]
    if cases and not any(case.classes - {0} for case in cases):
        progress.message(
            "The phantoms show none of this study's structures, so training goes without them; "
            "they know levels by their names in the built-in schemas (L5, L4/L5)",
            "warning",
        )
        return []
    return cases


def _phantom(
    seed: int, number: int, schema: LabelSchema, options: InputConfig, folder: Path
) -> CachedCase:
    from CPS4Core.phantom.variety import RECIPE

    name = f"phantom_{seed}_{number:04d}"
    meaning = {"recipe": RECIPE, "input": options.model_dump(), "schema": schema.to_dict()}
    image_file, geometry_file, label_file = files = [
        slot(folder, name, what, [], meaning) for what in ("images", "geometry", "labels")
    ]
    if not all(file.is_file() for file in files):
        _make(seed, number, schema, options, *files)
    return open_case(name, image_file, geometry_file, label_file)


def _make(
    seed: int,
    number: int,
    schema: LabelSchema,
    options: InputConfig,
    image_file: Path,
    geometry_file: Path,
    label_file: Path,
) -> None:
    from CPS4Core.phantom.variety import make_varied_phantom
    from CPS4Core.volumes.sagittal import to_sagittal

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    image, label = (to_sagittal(volume) for volume in make_varied_phantom(own, schema))
    grid = make_grid(image.array.shape[1:], image.spacing[1:], options)
    store_images(image, grid, image_file, geometry_file)
    indices = schema.to_indices(label.array)
    store_array(label_file, np.stack([grid.labels_to_working(plane) for plane in indices]))
