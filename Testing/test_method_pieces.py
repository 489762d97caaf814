"""What several methods share, and their small parts, against direct computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from CPS4Core.methods.class_contrast import pick_pixels
from CPS4Core.methods.dice import dice_loss, labelled_dice
from CPS4Core.methods.ema import follow
from CPS4Core.methods.largest_component import largest_components
from CPS4Core.methods.level_paste import level_distance, moved, paste_by_level
from CPS4Core.methods.method import cross_entropy
from CPS4Core.methods.patch_mix import (
    entropy,
    patch_means,
    patch_shape,
    rearranged,
    sources,
)
from CPS4Core.methods.ramp import ramp
from CPS4Core.methods.rectangle import random_rectangle
from CPS4Core.methods.strong_view import blurred, strong_view
from CPS4Core.methods.unimatch import cutmix_box
from CPS4Core.schema import IGNORE_INDEX


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("step", "steps", "expected"),
    [(0, 10, math.exp(-5)), (5, 10, math.exp(-1.25)), (10, 10, 1), (99, 10, 1), (0, 0, 1)],
)
def test_ramp(step, steps, expected):
    assert ramp(step, steps) == pytest.approx(expected)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("each_image", [True, False])
def test_dice_by_counting(squared, each_image):
    p = torch.rand(2, 3, 4, 5).softmax(dim=1).double()
    labels = torch.randint(0, 3, (2, 4, 5))
    labels[0, 0, 0] = IGNORE_INDEX
    found = dice_loss(p, labels, each_image=each_image, squared=squared)
    groups = [[0], [1]] if each_image else [[0, 1]]
    scores = []
    for images in groups:
        for c in range(3):
            both = below = 0.0
            for i in images:
                for y, x in np.ndindex(4, 5):
                    if labels[i, y, x] != IGNORE_INDEX:
                        value, true = p[i, c, y, x].item(), float(labels[i, y, x] == c)
                        both += value * true
                        below += value**2 + true**2 if squared else value + true
            scores.append((2 * both + 1e-5) / (below + 1e-5))
    assert found.item() == pytest.approx(1 - np.mean(scores), abs=1e-6)


def test_dice_of_equal_and_of_absent():
    labels = torch.randint(0, 3, (1, 4, 4))
    perfect = F.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    assert dice_loss(perfect, labels).item() == pytest.approx(0, abs=1e-5)
    assert dice_loss(perfect, perfect).item() == pytest.approx(0, abs=1e-5)
    nothing = torch.full_like(labels, IGNORE_INDEX)
    assert dice_loss(perfect, nothing).item() == 0


def test_background_that_may_hide_a_class_does_not_count():
    labels = torch.tensor([[[0, 0, 1, 2]]])
    hidden = torch.zeros(1, 3, 1, 4, dtype=torch.bool)
    hidden[0, 2, 0, :3] = True  # beside a structure it says nothing
    logits = torch.randn(1, 3, 1, 4)
    other = logits.clone()
    other[..., :2] += torch.randn(1, 3, 1, 2)
    assert torch.equal(labelled_dice(logits, labels, hidden), labelled_dice(other, labels, hidden))
    other[..., 2] += torch.randn(1, 3, 1)
    assert not torch.equal(
        labelled_dice(logits, labels, hidden), labelled_dice(other, labels, hidden)
    )


def test_teacher_follows_two_students():
    teacher, one, two = (torch.nn.BatchNorm1d(1) for _ in range(3))
    for network, value in ((teacher, 0.0), (one, 1.0), (two, 3.0)):
        torch.nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)
    follow(teacher, [(one, 0.75), (two, 0.25)], 0.6)
    assert teacher.weight.item() == pytest.approx(0.4 * 1.5)
    assert teacher.running_mean.item() == 1.0


def test_strong_view_changes_looks_and_not_places():
    images = torch.zeros(64, 1, 24, 12)
    images[:, :, 4:8, 3:9] = 0.6
    images[:, :, 8:20, 3:9] = 0.3
    seen = strong_view(images)
    assert seen.shape == images.shape and seen.min() >= 0 and seen.max() <= 1
    assert (seen[images == 0] == 0).all()
    top, bottom = seen[:, :, 5:7, 4:8].mean((1, 2, 3)), seen[:, :, 10:18, 4:8].mean((1, 2, 3))
    assert (top > bottom).all()  # above stays above
    assert 0.02 < (seen == images).all(dim=(1)).flatten(1).all(dim=1).float().mean() < 0.9


def test_blur_is_a_gaussian_of_each_ones_own_width():
    impulse = torch.zeros(2, 1, 21, 21)
    impulse[:, :, 10, 10] = 1
    found = blurred(impulse, torch.tensor([0.0, 1.5]))
    assert torch.allclose(found[0], impulse[0])
    at = torch.arange(-10, 11.0)
    line = torch.exp(-0.5 * (at / 1.5) ** 2) * (at.abs() <= 5)
    expected = line[:, None] * line / line.sum() ** 2
    assert torch.allclose(found[1, 0], expected, atol=1e-6)


def test_the_rectangle_lies_anywhere_inside():
    tops = set()
    for _ in range(200):
        found = random_rectangle((9, 6), 6, 4)
        rows, cols = found.any(1).nonzero()[:, 0], found.any(0).nonzero()[:, 0]
        assert found.sum() == 24 and len(rows) == 6 and len(cols) == 4
        tops.add((int(rows[0]), int(cols[0])))
    assert tops == {(y, x) for y in range(4) for x in range(3)}


def test_of_each_class_the_largest_part_stays():
    labels, expected = (
        torch.tensor([[[int(c) for c in row] for row in rows.split()]])
        for rows in ("11020 10020 02001 00201 00020", "11000 10000 02000 00200 00020")
    )
    assert torch.equal(largest_components(labels), expected)  # diagonal neighbours are one part
    assert not largest_components(torch.zeros_like(labels)).any()


def test_cutmix_boxes():
    boxes = torch.stack([cutmix_box((100, 50), 0.5) for _ in range(400)])
    share = boxes.float().mean((1, 2))
    assert 0.4 < (share == 0).float().mean() < 0.6
    kept = share[share > 0]
    assert kept.min() >= 0.015 and kept.max() <= 0.4 and kept.mean() > 0.15


def test_pixels_are_drawn_by_class():
    labels = torch.tensor([[[0, 1, 1, 1], [2, IGNORE_INDEX, 1, 0]], [[2, 2, 1, 0], [0, 0, 0, 0]]])
    features = torch.arange(16.0).view(2, 1, 2, 4)
    rows, classes = pick_pixels(features, labels, 3)
    assert classes.tolist() == [1, 1, 1, 2, 2, 2]
    assert set(rows[3:, 0].tolist()) == {4.0, 8.0, 9.0}
    assert len(set(rows[:3, 0].tolist())) == 3
    assert set(rows[:3, 0].tolist()) <= {1.0, 2.0, 3.0, 6.0, 10.0}


def test_ucmt_patches_unsure_give_way_to_sure():
    first = torch.tensor([[9.0, 1.0, 5.0, 0.0]])
    second = torch.tensor([[0.0, 8.0, 2.0, 1.0]])
    # place 0 takes patch 0 (where the second is surest); then place 1 takes patch 3
    assert sources(first, second, 1).tolist() == [[0, 3, 2, 3]]
    # 0 and 2 take patches 0, 3; then 1 and 2 take what stands at 3 and 1
    assert sources(first, second, 2).tolist() == [[0, 3, 1, 3]]
    # a donor that was overwritten itself gives what stands there by then
    first, second = torch.tensor([[9.0, 5.0, 0.0]]), torch.tensor([[1.0, 9.0, 0.0]])
    assert sources(first, second, 2).tolist() == [[0, 2, 2]]


def test_ucmt_moves_image_and_label_together():
    planes = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    patch = patch_shape((4, 6), 2)
    assert patch == (2, 3)
    identity = torch.arange(4).repeat(2, 1)
    assert torch.equal(rearranged(planes, identity, patch), planes)
    moved = rearranged(planes, torch.tensor([[3, 1, 2, 3], [0, 1, 0, 3]]), patch)
    assert torch.equal(moved[0, :, :2, :3], planes[0, :, 2:, 3:])
    assert torch.equal(moved[1, :, 2:, :3], planes[1, :, :2, :3])
    assert torch.equal(moved[:, :, :2, 3:], planes[:, :, :2, 3:])
    values = torch.arange(24.0).view(1, 4, 6)
    assert patch_means(values, patch)[0, 3].item() == values[0, 2:, 3:].mean()
    assert patch_shape((160, 80), 16) == (10, 5) and patch_shape((40, 32), 16) == (5, 2)


def test_entropy():
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).T[None, :, :, None]
    assert entropy(p)[0, :, 0].tolist() == pytest.approx([0, math.log(2)])


def test_cross_entropy_of_all_ignored_is_nothing():
    logits = torch.randn(1, 3, 2, 2)
    assert cross_entropy(logits, torch.full((1, 2, 2), IGNORE_INDEX)).item() == 0


def column(top: int, size: tuple[int, int] = (40, 12)) -> torch.Tensor:
    """Labels of three structures of 6 rows each, 1 lowest, from row `top` on."""
    labels = torch.zeros(size, dtype=torch.long)
    for place, level in enumerate((3, 2, 1)):
        labels[top + 6 * place : top + 6 * place + 6, 4:8] = level
    return labels


@pytest.mark.parametrize(("down", "right"), [(3, 0), (-5, 2), (0, -4), (40, 0), (0, 0)])
def test_planes_are_moved_by_whole_pixels_and_nothing_comes_round(down, right):
    plane = torch.rand(1, 20, 12)
    found = moved(plane, (down, right))
    assert found.shape == plane.shape
    for row in range(20):
        for col in range(12):
            there = 0 <= row - down < 20 and 0 <= col - right < 12
            expected = plane[0, row - down, col - right] if there else 0.0
            assert found[0, row, col] == expected


def test_a_pasted_spine_meets_the_levels_of_the_other():
    torch.manual_seed(0)
    here, there = column(4), column(15)
    images = torch.zeros(8, 1, 40, 12)
    labels = here.expand(8, -1, -1)
    donor = 0.5 + there[None, None] / 10  # its own label can be read off its image
    mixed, pasted = paste_by_level(images, labels, donor, there[None], side=0.5)
    took = pasted >= 0
    assert took.flatten(1).any(dim=1).all() and not took.flatten(1).all(dim=1).any()
    # The donor's column lies 11 rows lower; moved up by as many both have the same levels.
    assert torch.equal(pasted[took], labels[took])
    assert torch.allclose(mixed[:, 0][took], 0.5 + labels[took] / 10)
    assert not mixed[:, 0][~took].any()


def test_slices_that_share_no_structure_are_left_alone():
    labels = torch.where(column(4) == 1, 1, 0)[None]
    donor = torch.where(column(4) == 3, 3, 0)[None]
    images = torch.rand(1, 1, 40, 12)
    mixed, pasted = paste_by_level(images, labels, images + 1, donor, side=0.5)
    assert torch.equal(mixed, images) and bool((pasted == -1).all())
    assert level_distance(donor[0], labels[0]) is None
    assert level_distance(torch.full((40, 12), IGNORE_INDEX), labels[0]) is None
