"""Formulas (1) and (2) against values worked out by hand, gradients included."""

from __future__ import annotations

import math

import pytest
import torch

from CPS4Core.pretrain.losses import pixel_attention_loss, token_attention_loss
from CPS4Core.pretrain.targets import Targets, make_targets
from CPS4Core.schema import IGNORE_INDEX


def two_patches(present=(True, True), valid=(1.0, 1.0)) -> Targets:
    """One image, two classes, two patches: class 0 owns the left patch, class 1 the right one."""
    masks = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    return Targets(masks, torch.tensor([[[list(valid)]]]), torch.tensor([list(present)]))


ATTENTION = torch.tensor([[[[0.8, 0.2]], [[0.5, 0.5]]]])


def test_token_loss_by_hand():
    # Class 0 has 0.8 of 1.0 inside, class 1 0.5 of 1.0: ((0.2)^2 + (0.5)^2) / 2.
    loss = token_attention_loss(ATTENTION, two_patches())
    assert loss.item() == pytest.approx((0.04 + 0.25) / 2)


def test_token_loss_counts_only_classes_of_the_image():
    loss = token_attention_loss(ATTENTION, two_patches(present=(True, False)))
    assert loss.item() == pytest.approx(0.04)


def test_token_loss_gradient_by_hand():
    # (1 - a/(a+b))^2 at a=.8, b=.2: inside -2(1-r)b/(a+b)^2 = -0.08, outside 2(1-r)a = 0.32.
    attention = ATTENTION.clone().requires_grad_()
    token_attention_loss(attention, two_patches(present=(True, False))).backward()
    assert attention.grad[0, 0, 0].tolist() == pytest.approx([-0.08, 0.32])
    assert attention.grad[0, 1].abs().max() == 0


def test_pixel_loss_by_hand():
    loss = pixel_attention_loss(ATTENTION.log(), (1 - ATTENTION).log(), two_patches())
    first = -(math.log(0.8) + math.log(0.8)) / 2
    second = -(math.log(0.5) + math.log(0.5)) / 2
    assert loss.item() == pytest.approx((first + second) / 2)


def test_pixel_loss_gradient_by_hand():
    # Through A = sigmoid(z) the gradient of the mean cross-entropy is (A - B) / N.
    logits = torch.logit(ATTENTION).requires_grad_()
    log_a = torch.nn.functional.logsigmoid
    pixel_attention_loss(
        log_a(logits), log_a(-logits), two_patches(present=(True, False))
    ).backward()
    assert logits.grad[0, 0, 0].tolist() == pytest.approx([(0.8 - 1) / 2, 0.2 / 2])
    assert logits.grad[0, 1].abs().max() == 0


def test_absent_classes_are_suppressed_only_on_request():
    targets = two_patches(present=(True, False))
    targets.masks[0, 1] = 0
    logits = torch.logit(ATTENTION).requires_grad_()
    log_a = torch.nn.functional.logsigmoid
    pixel_attention_loss(log_a(logits), log_a(-logits), targets, suppress_absent=True).backward()
    assert (logits.grad[0, 1] > 0).all()


def test_ignored_patches_do_not_count():
    targets = two_patches(valid=(1.0, 0.0))
    targets.masks *= targets.valid
    assert token_attention_loss(ATTENTION, two_patches(valid=(1.0, 0.0))).item() == pytest.approx(
        (0.0 + 1.0) / 2
    )
    loss = pixel_attention_loss(ATTENTION.log(), (1 - ATTENTION).log(), targets)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.5)) / 2)


def test_an_image_without_classes_gives_zero_and_no_nan():
    attention = ATTENTION.clone().requires_grad_()
    loss = token_attention_loss(attention, two_patches(present=(False, False)))
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(attention.grad).all()


def labels_with_a_corner() -> torch.Tensor:
    """Class 1 covers one pixel of the upper left 2 x 2 patch and the whole lower right one."""
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 1, 1] = 1
    labels[0, 2:, 2:] = 1
    return labels


@pytest.mark.parametrize(("rule", "corner"), [("any", 1.0), ("half", 0.0), ("occupancy", 0.25)])
def test_targets_on_the_token_grid(rule, corner):
    targets = make_targets(labels_with_a_corner(), 3, (2, 2), rule, include_background=True)
    assert targets.masks[0, 1].tolist() == [[corner, 0.0], [0.0, 1.0]]
    assert targets.present.tolist() == [[True, True, False]]


def test_targets_at_full_resolution_and_without_background():
    labels = labels_with_a_corner()
    targets = make_targets(labels, 3, (2, 2), "full-resolution", include_background=False)
    assert torch.equal(targets.masks[0, 1], (labels[0] == 1).float())
    assert targets.present.tolist() == [[False, True, False]]


def test_ignored_voxels_are_neither_class_nor_background():
    labels = labels_with_a_corner()
    labels[0, 2:, :2] = IGNORE_INDEX
    targets = make_targets(labels, 3, (2, 2), "occupancy", include_background=True)
    assert targets.valid[0, 0].tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert targets.masks[0, :, 1, 0].sum() == 0
