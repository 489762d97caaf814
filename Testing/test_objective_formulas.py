"""The pieces of the objectives against small direct computations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from CPS4Core.encoders.contrastive_map import ContrastiveMap
from CPS4Core.encoders.upsampling import GatedUpsampling
from CPS4Core.methods.amvlm_text_mask import text_mask_label
from CPS4Core.pretrain.amvlm import sure_cross_entropy, uncertain_scores
from CPS4Core.pretrain.captions import make_captions
from CPS4Core.pretrain.contrastive import global_to_local, info_nce, soft_cross_entropy
from CPS4Core.pretrain.dusss import uncertain_similarity
from CPS4Core.pretrain.egma import best_matches
from CPS4Core.pretrain.egma_mask import mask_losses, multi_label_cross_entropy
from CPS4Core.pretrain.gaussians import Gaussians, wasserstein
from CPS4Core.pretrain.medclip import label_similarity
from CPS4Core.pretrain.mgca import sinkhorn
from CPS4Core.pretrain.momentum import second_view
from CPS4Core.pretrain.targets import Targets
from CPS4Core.pretrain.text_guided import covered_logits, doublings_to, hard_mask
from CPS4Core.pretrain.tokens import attention_over, importance, token_contrast
from CPS4Core.schema import IGNORE_INDEX, built_in_schema


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(rand(*shape, seed=seed), dim=-1)


# Captions


def slices(*shown: tuple[int, ...]) -> torch.Tensor:
    labels = torch.zeros(len(shown), 6, 6, dtype=torch.long)
    for image, classes in enumerate(shown):
        for row, c in enumerate(classes):
            labels[image, row] = c
    return labels


def test_captions_list_the_classes_of_a_slice_and_alike_slices_share_one():
    schema = built_in_schema("mrspineseg")
    first, second, third = (schema.structures[c - 1].full_name for c in (1, 2, 3))
    labels = slices((2, 1), (), (3, 1, 2), (1, 2), (3,))
    labels[4, 5] = IGNORE_INDEX
    found = make_captions(labels, schema)
    assert found.texts == [
        f"A magnetic resonance image of a {first} and {second}.",
        "A magnetic resonance image of a Background.",
        f"A magnetic resonance image of a {first}, {second} and {third}.",
        f"A magnetic resonance image of a {third}.",
    ]
    assert found.of.tolist() == [0, 1, 2, 0, 3]
    assert found.positives.sum(dim=0).tolist() == [2, 1, 1, 1]
    assert [row.nonzero()[:, 0].tolist() for row in found.classes] == [[1, 2], [0], [1, 2, 3], [3]]


# Contrastive losses


def test_one_positive_a_row_is_the_usual_cross_entropy():
    logits = rand(4, 4)
    expected = F.cross_entropy(logits, torch.tensor([2, 0, 3, 1]))
    positives = F.one_hot(torch.tensor([2, 0, 3, 1])).bool()
    assert info_nce(logits, positives).item() == pytest.approx(expected.item())


def test_several_positives_by_hand():
    """e^1 : e^2 : e^0; positives are the first two, each half of the target."""
    loss = info_nce(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[True, True, False]]))
    total = math.e + math.e**2 + 1
    expected = -(math.log(math.e / total) + math.log(math.e**2 / total)) / 2
    assert loss.item() == pytest.approx(expected)


def test_alike_captions_are_no_negatives_of_each_other():
    """Both slices of a caption are drawn to it: gradient zero where they share the softmax."""
    logits = torch.zeros(1, 3, requires_grad=True)
    info_nce(logits, torch.tensor([[True, True, False]])).backward()
    assert logits.grad[0].tolist() == pytest.approx([1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 1 / 3])


def test_medclip_targets_by_hand():
    images = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 1]]).bool()
    texts = torch.tensor([[0, 1, 0, 0], [0, 1, 1, 0]]).bool()
    cosine = label_similarity(images, texts, "cosine")
    assert cosine.flatten().tolist() == pytest.approx([1 / math.sqrt(2), 1, 0, 0])
    assert label_similarity(images, texts, "dot").tolist() == [[1, 2], [0, 0]]
    logits = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    target = torch.tensor([math.exp(2**-0.5), math.e]) / (math.exp(2**-0.5) + math.e)
    first = -(target[0] * math.log(math.e / (math.e + 1)) + target[1] * math.log(1 / (math.e + 1)))
    expected = (first.item() + math.log(2)) / 2
    loss = soft_cross_entropy(logits, cosine.softmax(dim=1))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_global_to_local_against_a_loop():
    locals_, globals_, tau = unit(3, 4, 5), unit(3, 5, seed=1), 0.1
    there = torch.ones(3, 4, dtype=torch.bool)
    there[1, 2:] = False
    losses = []
    for i in range(3):
        rest = [
            math.exp(locals_[j, b] @ globals_[i] / tau)
            for j in range(3)
            for b in range(4)
            if j != i and there[j, b]
        ]
        for a in range(4):
            if there[i, a]:
                own = math.exp(locals_[i, a] @ globals_[i] / tau)
                losses.append(-math.log(own / (own + sum(rest))))
    found = global_to_local(locals_, globals_, tau, there).item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_global_to_local_without_negatives_teaches_nothing():
    locals_ = unit(1, 4, 5).requires_grad_()
    loss = global_to_local(locals_, unit(1, 5, seed=1), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0) and locals_.grad.abs().max() == pytest.approx(0)


# MGCA


def test_sinkhorn_against_the_plain_iteration():
    scores = rand(6, 4) * 0.3
    plain = (scores / 0.05).exp()
    for _ in range(3):
        plain = plain / plain.sum(dim=0, keepdim=True)
        plain = plain / plain.sum(dim=1, keepdim=True)
    found = sinkhorn(scores, 0.05, 3)
    assert torch.allclose(found, plain, atol=1e-5)
    assert torch.allclose(found.sum(dim=1), torch.ones(6))
    even = sinkhorn(scores, 0.5, 100)  # all prototypes are used alike
    assert torch.allclose(even.sum(dim=0), torch.full((4,), 1.5), atol=1e-3)


def test_sinkhorn_does_not_overflow():
    assert torch.isfinite(sinkhorn(rand(6, 4) * 1e4, 0.05, 3)).all()


def test_tokens_attend_only_to_what_is_there():
    words, patches = rand(2, 3, 4), rand(2, 5, 4, seed=1)
    there = torch.tensor([[True] * 5, [True, True, False, False, False]])
    found = attention_over(words, patches, 0.5, there)
    assert torch.equal(found[1, :, 2:], torch.zeros(3, 3))
    expected = (words[0, 1] @ patches[0].T / 0.5).softmax(dim=0)
    assert torch.allclose(found[0, 1], expected, atol=1e-6)


def test_token_contrast_against_a_loop_over_what_is_there():
    scores, there = rand(2, 4, 4), torch.tensor([[True] * 4, [True, True, True, False]])
    weights = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.5, 0.25, 0.25, 0.0]])
    expected = 0.0
    for sample, count in enumerate((4, 3)):
        own = scores[sample, :count, :count]
        for i in range(count):
            rows, columns = own.log_softmax(dim=1)[i, i], own.log_softmax(dim=0)[i, i]
            expected -= weights[sample, i].item() * (rows + columns).item() / 2
    assert token_contrast(scores, weights, there).item() == pytest.approx(expected / 2, rel=1e-5)


def test_importance_limits_the_extremes_and_leaves_out_padding():
    summary, tokens = unit(1, 8), unit(1, 12, 8, seed=2)
    there = torch.ones(1, 12, dtype=torch.bool)
    there[0, 10:] = False
    found = importance(summary, tokens, 0.1, there)[0]
    assert found.sum().item() == pytest.approx(1) and found[10:].abs().max() == 0
    plain = (tokens[0, :10] @ summary[0] / 0.1).softmax(dim=0)
    low, high = plain.quantile(torch.tensor([0.1, 0.9]))
    expected = plain.clamp(low, high)
    assert torch.allclose(found[:10], expected / expected.sum(), atol=1e-6)


# EGMA


def test_filip_takes_the_best_match_against_a_loop():
    scores = rand(2, 3, 4)  # images, sentences, patches
    sentences = torch.tensor([[True, True, False], [False, True, True]])
    by_patch, by_sentence = best_matches(scores, sentences)
    for i in range(2):
        for j, own in enumerate(([0, 1], [1, 2])):
            best = [max(scores[i, k, p] for k in own) for p in range(4)]
            assert by_patch[i, j].item() == pytest.approx((sum(best) / 4).item())
            best = [scores[i, k].max() for k in own]
            assert by_sentence[i, j].item() == pytest.approx((sum(best) / 2).item())


def test_multi_label_cross_entropy_by_hand():
    scores = torch.tensor([1.0, -2.0, 0.5, 3.0])
    inside = torch.tensor([True, False, True, False])
    counted = torch.tensor([True, True, True, False])
    expected = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1) + math.exp(-0.5))
    assert multi_label_cross_entropy(scores, inside, counted).item() == pytest.approx(expected)


def test_masks_guide_only_the_sentences_of_a_slice():
    masks = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    targets = Targets(masks, torch.ones(1, 1, 1, 2), torch.tensor([[True, False]]))
    scores = torch.tensor([[[[1.0, -1.0]], [[9.0, 9.0]]]], requires_grad=True)
    by_sentence, by_patch = mask_losses(scores, targets)
    single = math.log(1 + math.exp(-1))  # the same on both sides
    assert by_sentence.item() == pytest.approx(2 * single)
    assert by_patch.item() == pytest.approx(single)
    (by_sentence + by_patch).backward()
    assert scores.grad[0, 1].abs().max() == 0


# Gaussians, DuSSS, AMVLM


def gaussians(*shape: int, seed: int) -> Gaussians:
    return Gaussians(rand(*shape, seed=seed), rand(*shape, seed=seed + 1).exp())


def test_wasserstein_is_pairwise():
    first, second = gaussians(3, 5, seed=0), gaussians(4, 5, seed=2)
    distance, of_means = wasserstein(first, second)
    assert distance.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            means = (first.mean[i] - second.mean[j]).square().sum()
            spreads = (first.spread[i] - second.spread[j]).square().sum()
            assert of_means[i, j].item() == pytest.approx(means.item(), rel=1e-4)
            assert distance[i, j].item() == pytest.approx((means + spreads).item(), rel=1e-4)


def test_uncertain_similarity_by_hand():
    """Orthogonal vectors, |x - y|^2 = 2, means apart by (30, 40): sim' = 1 - exp(-12.5 / 10)."""
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    ones = torch.ones(1, 2)
    here, there = Gaussians(0 * ones, ones), Gaussians(torch.tensor([[30.0, 40.0]]), ones)
    assert uncertain_similarity(x, y, here, there).item() == pytest.approx(1 - math.exp(-1.25))
    assert uncertain_similarity(x, y, here, here).item() == pytest.approx(0)  # sure: the cosine


def test_css_scores_against_a_loop():
    words, patches = unit(1, 2, 4), unit(1, 3, 4, seed=1)
    of_words, of_patches = gaussians(1, 2, 4, seed=2), gaussians(1, 3, 4, seed=4)
    attention = attention_over(words, patches, 0.07)
    found = uncertain_scores(words, of_words, patches, of_patches, attention, 0.07)
    for i in range(2):
        for j in range(2):
            share = (words[0, j] @ patches[0].T / 0.07).softmax(dim=0)
            s = words[0, i] @ (share @ patches[0]) / 0.07
            means = (of_words.mean[0, i] - share @ of_patches.mean[0]).square().sum()
            spreads = (of_words.spread[0, i] - share @ of_patches.spread[0]).square().sum()
            expected = 1 - (1 - s) * torch.sigmoid((means + spreads) / means)
            assert found[0, i, j].item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)


def test_sure_tokens_count_most():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    spread = torch.tensor([1.0, 2.0, 4.0]).sqrt()[None, :, None]
    there = torch.ones(1, 3, dtype=torch.bool)
    positives = torch.tensor([[True, False]])
    found = sure_cross_entropy(logits, positives, spread, there).item()
    # 1 / variance: 1, 1/2, 1/4; minmax: 1, 1/3, 0.
    losses = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))]
    assert found == pytest.approx((losses[0] + losses[1] / 3) / (4 / 3), rel=1e-4)
    alike = sure_cross_entropy(logits, positives, torch.ones(1, 3, 1), there).item()
    assert alike == pytest.approx((sum(losses) + math.log(2)) / 3, rel=1e-4)


def test_one_number_samples_all_tokens():
    torch.manual_seed(0)
    found = gaussians(2, 3, 4, seed=0)
    steps = (found.sample() - found.mean) / found.spread
    assert torch.allclose(steps, steps[0, 0, 0].expand_as(steps), atol=1e-4)


# Text-guided masks


def test_what_a_mask_covers_against_a_loop():
    patches, texts = unit(2, 3, 2, 4), unit(3, 4, seed=1)
    masks = rand(2, 3, 3, 2, seed=2).sigmoid()
    found = covered_logits(patches, masks, texts, 0.5)
    for b in range(2):
        for u in range(3):
            mean = (patches[b] * masks[b, u][..., None]).sum(dim=(0, 1))
            expected = F.cosine_similarity(mean, texts[u], dim=0) / 0.5
            assert found[b, u].item() == pytest.approx(expected.item(), abs=1e-4)


def test_hard_masks_are_as_likely_as_they_say_and_let_gradients_through():
    torch.manual_seed(0)
    logits = torch.full((20000,), 1.0, requires_grad=True)
    mask = hard_mask(logits)
    assert set(mask.detach().round(decimals=4).unique().tolist()) == {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    mask.sum().backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize(
    ("patch", "pixels", "expected"), [(16, 4, 2), (8, 4, 1), (4, 4, 0), (14, 4, 2)]
)
def test_the_grid_is_doubled_until_tokens_are_small(patch, pixels, expected):
    assert doublings_to(pixels, patch) == expected


def test_the_decoder_begins_as_plain_interpolation():
    tokens = rand(1, 6, 3, 2)
    found = GatedUpsampling(6, 2)(tokens)
    once = F.interpolate(tokens, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.interpolate(once, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("cosine", [0.75, 0.4]),
        ("softmax", [1 / (1 + math.exp(-7)), 1 / (1 + math.exp(7))]),
        ("sigmoid", [1 / (1 + math.exp(-5)), 1 / (1 + math.exp(2))]),
        (
            "text-mask",
            [
                0.3 / (1 + math.exp(-2.5)) + 0.7 / (1 + math.exp(-0.5)),
                0.3 / (1 + math.exp(4.5)) + 0.7 / (1 + math.exp(0.2)),
            ],
        ),
    ],
)
def test_activations_of_the_contrastive_class_map(activation, expected):
    class_map = ContrastiveMap.__new__(ContrastiveMap)
    torch.nn.Module.__init__(class_map)
    from CPS4Core.encoders.class_map import MapForm

    class_map.form = MapForm("contrastive", activation)
    class_map.log_scale = torch.nn.Parameter(torch.tensor(math.log(10.0)))
    found = class_map.activate(torch.tensor([0.5, -0.2]).reshape(1, 2, 1, 1))
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_the_target_of_the_text_masks():
    teacher = torch.tensor([0.6, 0.4]).log().reshape(1, 2, 1, 1)
    for mask, expected in (([0.5, 0.6], 0), ([0.5, 0.8], 1)):
        assert int(text_mask_label(teacher, torch.tensor(mask).reshape(1, 2, 1, 1))) == expected


def test_a_second_view_keeps_places_and_range():
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 32, 32)
    image[..., 8:16, 8:16] = 0.8
    view = second_view(image)
    assert view.min() >= 0 and view.max() <= 1
    assert view[..., 9:15, 9:15].mean() > 2 * view[..., 20:, 20:].mean()
    assert not torch.equal(view, image)
