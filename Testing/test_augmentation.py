"""Random changes: image and label move together, the spine is never turned round."""

from __future__ import annotations

import pytest
import torch

from CPS4Core.config import load_config, preset_names
from CPS4Core.schema import IGNORE_INDEX
from CPS4Core.training.augmentation import Augmentation, apply_to_images, apply_to_labels

SIZE = (96, 48)


def drawn(preset: str, seed: int, batch: int = 8, **changes):
    options = load_config(preset).augmentation.model_copy(update=changes)
    return Augmentation(options, seed).draw(batch, SIZE)


def two_marks(batch: int) -> torch.Tensor:
    """Label 1 above, 2 below, 3 anterior of 2."""
    labels = torch.zeros(batch, *SIZE, dtype=torch.long)
    labels[:, 25:33, 26:32] = 1
    labels[:, 60:68, 26:32] = 2
    labels[:, 60:68, 14:20] = 3
    return labels


def centre(labels: torch.Tensor, index: int) -> torch.Tensor:
    return (labels == index).nonzero().float().mean(dim=0)


@pytest.mark.parametrize("preset", preset_names())
def test_up_stays_up_and_front_stays_front(preset):
    for seed in range(12):
        for labels in apply_to_labels(two_marks(8), drawn(preset, seed)):
            one, two, three = (centre(labels, i) for i in (1, 2, 3))
            assert not one[0] > two[0] and not three[1] > two[1]


@pytest.mark.parametrize("preset", preset_names())
def test_labels_follow_the_image(preset):
    labels = two_marks(8)
    change = drawn(preset, 1, contrast_probability=0.0, gamma_probability=0.0, bias=0.0, noise=0.0)
    moved_image = apply_to_images((labels == 1).float()[:, None], change)[:, 0]
    moved_label = apply_to_labels(labels, change) == 1
    overlap = 2 * (moved_image * moved_label).sum() / (moved_image.sum() + moved_label.sum())
    assert overlap > 0.9
    assert not torch.equal(moved_label, labels == 1)


def test_an_oblong_image_is_rotated_without_shear():
    change = drawn("paper", 3, rotation=30.0, elastic_probability=0.0, contrast_probability=0.0)
    labels = torch.zeros(8, *SIZE, dtype=torch.long)
    labels[:, 38:58, 14:34] = 1  # a square stays a square: its area is kept
    area = (apply_to_labels(labels, change) == 1).sum(dim=(1, 2)).float()
    assert ((area - 400).abs() < 25).all()


def test_what_comes_from_outside_is_ignored():
    change = drawn("paper", 0, shift=0.5, elastic_probability=0.0)
    assert (apply_to_labels(torch.zeros(8, *SIZE, dtype=torch.long), change) == IGNORE_INDEX).any()


def test_images_stay_in_range_and_the_seed_decides():
    image = torch.rand(8, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    first, again, other = (apply_to_images(image, drawn("cpu", seed)) for seed in (5, 5, 6))
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
