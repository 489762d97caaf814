"""Otsu's threshold, the integrated map, and the ways classes can overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from CPS4Core.config import load_config
from CPS4Core.prompt_maps.integration import prompt_maps
from CPS4Core.prompt_maps.otsu import otsu_thresholds


def options(**changes):
    return load_config("paper").maps.model_copy(update=changes)


def test_otsu_agrees_with_scikit_image():
    random = np.random.default_rng(0)
    maps = (
        np.stack(
            [
                np.r_[random.normal(0.2, 0.05, 1500), random.normal(0.7, 0.1, 500 + 50 * i)][:2000]
                for i in range(6)
            ]
        )
        .reshape(2, 3, 40, 50)
        .clip(0, 1)
        .astype(np.float32)
    )
    ours = otsu_thresholds(torch.from_numpy(maps)).numpy()
    theirs = np.array([[threshold_otsu(m) for m in row] for row in maps])
    # The last step may fall on the neighbouring bin by rounding.
    assert np.abs(ours - theirs).max() <= 1.01 * (maps.max() - maps.min()) / 256


def test_a_constant_map_has_nothing_above_its_threshold():
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert not (flat > otsu_thresholds(flat)[..., None, None]).any()


def attention() -> torch.Tensor:
    """Background everywhere 0.3; class 1 on the left half, class 2 on the upper half, stronger."""
    soft = torch.full((1, 3, 8, 8), 0.05)
    soft[0, 0] = 0.3
    soft[0, 1, :, :4] = 0.6
    soft[0, 2, :4] = 0.8
    return soft


def test_highest_fired_class_wins_and_the_rest_is_background():
    soft = attention()
    found = prompt_maps(soft, soft, (8, 8), options(integration="highest-fired"))
    assert (found.integrated[0, :4] == 2).all()
    assert (found.integrated[0, 4:, :4] == 1).all()
    assert (found.integrated[0, 4:, 4:] == 0).all()


def test_a_weak_map_is_rejected_as_absent():
    soft = attention()
    soft[0, 2] *= 0.5
    kept = prompt_maps(soft, soft, (8, 8), options(reject_below=0.0)).integrated
    rejected = prompt_maps(soft, soft, (8, 8), options(reject_below=0.5)).integrated
    assert (kept == 2).any() and not (rejected == 2).any()


@pytest.mark.parametrize("integration", ["highest-fired", "argmax"])
def test_a_class_that_nobody_taught_may_be_left_out(integration):
    soft, trained = attention(), torch.tensor([True, True, False])
    chosen = options(integration=integration, classes="trained")
    found = prompt_maps(soft, soft, (8, 8), chosen, trained).integrated
    assert (found == 1).any() and not (found == 2).any()
    everything = prompt_maps(soft, soft, (8, 8), options(integration=integration), trained)
    assert (everything.integrated == 2).any()


def test_argmax_lets_the_background_win():
    soft = attention()
    soft[0, 0] = 0.7
    found = prompt_maps(soft, soft, (8, 8), options(integration="argmax")).integrated
    assert (found[0, 4:] == 0).all() and (found[0, :4] == 2).all()


@pytest.mark.parametrize(("mode", "values"), [("nearest", 2), ("bilinear", 5)])
def test_upsampling(mode, values):
    soft = torch.tensor([[[[0.0, 1.0]]]]).expand(1, 2, 1, 2)
    found = prompt_maps(soft, soft, (4, 8), options(upsampling=mode)).soft
    assert found.shape == (1, 2, 4, 8) and len(found.unique()) >= values


def test_otsu_may_look_at_the_cosine():
    soft = attention()
    cosines = torch.zeros_like(soft)
    cosines[0, 1, 0, 0] = 1
    found = prompt_maps(soft, cosines, (8, 8), options(otsu_input="cosine"))
    assert found.binary[0, 1].sum() == 1
