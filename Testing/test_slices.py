"""The working grid: what goes to the network's size comes back to the voxel it came from."""

from __future__ import annotations

import numpy as np
import pytest

from CPS4Core.schema import IGNORE_INDEX
from CPS4Core.slices.grid import SliceGrid, working_slices

GRIDS = [
    SliceGrid((640, 512), (0.47, 0.47), (160, 128)),
    SliceGrid((640, 512), (0.47, 0.47), (160, 80), ap_fraction=0.625),
    SliceGrid((1024, 1024), (0.3, 0.3), (512, 256), "stretch", 0.5),
    SliceGrid((300, 420), (1.0, 0.5), (160, 128)),  # wider than the working image
    SliceGrid((90, 64), (4.0, 2.0), (160, 128)),  # enlarged
]


def blocks(shape: tuple[int, int]) -> np.ndarray:
    """Three structures in the middle of a slice."""
    rows, cols = shape
    labels = np.zeros(shape, np.uint8)
    for index in (1, 2, 3):
        top = rows * index // 5
        labels[top : top + rows // 7, cols * 2 // 5 : cols * 3 // 5] = index
    return labels


@pytest.mark.parametrize("grid", GRIDS)
def test_labels_return_to_their_place(grid):
    truth = blocks(grid.native)
    working = grid.labels_to_working(truth)
    probabilities = np.stack([(working == k).astype(np.float32) for k in range(4)])
    back, certainty = grid.from_working(probabilities)
    assert back.shape == truth.shape and certainty.shape == truth.shape
    for index in (1, 2, 3):
        ours, theirs = np.argwhere(back == index), np.argwhere(truth == index)
        overlap = 2 * ((back == index) & (truth == index)).sum() / (len(ours) + len(theirs))
        assert overlap > 0.93
        pixel = np.array(grid.native) / np.array(grid.content[2:])
        # No shift: the centres agree far below one working pixel.
        assert (np.abs(ours.mean(0) - theirs.mean(0)) < 0.2 * pixel + 0.5).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_windowed_result_equals_the_plain_one(grid):
    """from_working skips what cannot win; the answer is that of enlarging everything."""
    random = np.random.default_rng(0)
    working = grid.labels_to_working(blocks(grid.native))
    logits = random.normal(0, 1, (5, *grid.size)).astype(np.float32)
    logits += 6 * (working[None] == np.arange(5)[:, None, None])
    probabilities = np.exp(logits) / np.exp(logits).sum(0)
    indices, _ = grid.from_working(probabilities)
    plain = np.stack([grid.map_to_native(p) for p in probabilities])
    left, _, right, _ = grid.source
    inside = np.s_[:, int(np.ceil(left)) : int(right)]
    agree = indices[inside] == plain.argmax(axis=0)[inside]
    assert agree.mean() > 0.999


def test_outside_the_scan_is_ignored_and_not_background():
    grid = GRIDS[3]
    working = grid.labels_to_working(blocks(grid.native))
    top, left, height, width = grid.content
    inside = np.zeros(grid.size, bool)
    inside[top : top + height, left : left + width] = True
    assert not inside.all() and ((working != IGNORE_INDEX) == inside).all()


def test_proportions_in_millimetres_are_kept():
    grid = SliceGrid((300, 300), (1.0, 0.5), (160, 128))
    row_mm, col_mm = grid.working_spacing
    assert row_mm == pytest.approx(col_mm, rel=0.02)


def test_intensity_window_ignores_a_few_wild_voxels():
    stack = np.random.default_rng(0).uniform(100, 200, (4, 64, 64)).astype(np.float32)
    wild = stack.copy()
    wild[0, 0, :3] = 1e6
    grid = SliceGrid((64, 64), (1, 1), (64, 64))
    ours, theirs = working_slices(stack, grid), working_slices(wild, grid)
    assert ours.min() >= 0 and ours.max() <= 1 and ours.std() > 0.2
    assert np.abs(ours - theirs).max(initial=0, where=wild < 1e5) < 0.02
