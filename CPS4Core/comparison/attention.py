"""Prompt maps of several methods side by side for chosen prompts (the paper's fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from CPS4Core.comparison.matrix import Matrix
from CPS4Core.comparison.results import STAGE1_MODEL
from CPS4Core.errors import CPS4Error

FEWEST_PROMPTS = 4


def attention_picture(
    matrix: Matrix, ratio: str, path: Path, prompts: Sequence[str] | None = None
) -> list[str]:
    """One row of panels a method with prompt maps, one column a prompt; returns the methods.

    The case is the first scored one on the first seed; the slice that shows the most structures.
    Default prompts: structures of that slice, spread along the spine.
    """
    from CPS4Core.model_folder import read_model
    from CPS4Core.prompt_maps.volume import PromptMapper
    from CPS4Core.report.attention_picture import AttentionRow, write_attention_picture
    from CPS4Core.slices.grid import working_slices
    from CPS4Core.volumes.reading import read_label_map, read_volume
    from CPS4Core.volumes.sagittal import to_sagittal

    seed, study = matrix.seeds[0], matrix.opened
    case = matrix.scored_cases(matrix.selection(ratio, seed))[0]
    assert case.label is not None
    stack = to_sagittal(read_volume(case.image))
    truth = study.schema.to_indices(to_sagittal(read_label_map(case.label)).array)
    shown = int(((truth > 0) & (truth < 255)).sum(axis=(1, 2)).argmax())
    chosen = _chosen(truth[shown], matrix, prompts)
    one = replace(stack, array=stack.array[shown : shown + 1])
    rows: list[AttentionRow] = []
    done: dict[str, str] = {}
    image = None
    for name in matrix.rows:
        folder = matrix.stage1_folder(matrix.cell(name, ratio, seed))
        if folder is None or not (folder / STAGE1_MODEL).is_file():
            continue
        if folder.name in done:  # rows that share their stage 1 share their maps
            continue
        done[folder.name] = name
        mapper = PromptMapper(read_model(folder / "stage1" / "model"))
        maps = mapper.maps(one)
        soft = maps.working_soft(0)[chosen]
        rows.append(AttentionRow(name, soft, maps.thresholds[0][chosen]))
        image = working_slices(one.array, maps.grid)[0]
    if image is None:
        return []
    names = [study.schema.class_names[i] for i in chosen]
    write_attention_picture(image, rows, names, path, title=f"{case.id}, {ratio} labelled")
    return [row.name for row in rows]


def _chosen(truth: np.ndarray, matrix: Matrix, prompts: Sequence[str] | None) -> list[int]:
    schema = matrix.opened.schema
    if prompts:
        return [schema.index_of(name) for name in prompts]
    here = [i for i in schema.ordered_indices() if (truth == i).any()]
    if not here:
        raise CPS4Error("The slice shows no structure", cure="Name the prompts to be shown")
    places = np.linspace(0, len(here) - 1, min(FEWEST_PROMPTS + 2, len(here))).round().astype(int)
    return [here[p] for p in places]
