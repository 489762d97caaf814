"""Each method's formula against a small direct computation."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from method_samples import make, make_batch, make_halfway, schema_of
from torch.nn import functional as F

from CPS4Core.methods.bcp import halves
from CPS4Core.methods.class_contrast import ClassMemory, contrast, pick_pixels
from CPS4Core.methods.dice import cross_entropy_and_dice, dice_loss
from CPS4Core.methods.graphcl import affinities, normalised_adjacency
from CPS4Core.methods.largest_component import largest_components
from CPS4Core.methods.mc_net import sharpened
from CPS4Core.methods.patch_mix import (
    entropy,
    patch_means,
    rearranged,
    sources,
)
from CPS4Core.methods.rectangle import random_rectangle
from CPS4Core.methods.strong_view import strong_view
from CPS4Core.methods.unimatch import confident_label, cutmix_box
from CPS4Core.methods.virtual_adversarial import (
    adversarial_direction,
    frozen_statistics,
    unit,
)
from CPS4Core.schema import IGNORE_INDEX


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def softmax_of(logits):
    return logits.float().softmax(dim=1)


# --- mean teacher, soft


def test_soft_mean_teacher_is_consistency_under_noise():
    batch, schema = make_batch(schema_of(3)), schema_of(3)
    method = make_halfway("mean-teacher-soft", schema)
    with torch.no_grad():
        next(method.teacher.parameters()).add_(0.3)
    torch.manual_seed(3)
    found = method.losses(batch)
    torch.manual_seed(3)
    noise = (0.1 * torch.randn_like(batch.unlabelled)).clamp(-0.2, 0.2)
    teacher = softmax_of(method.teacher(batch.unlabelled + noise))
    logits = method.network(torch.cat([batch.images, batch.unlabelled]))
    distance = ((softmax_of(logits[2:]) - teacher) ** 2).mean()
    weight = 0.1 * math.exp(-5 * 0.25)
    assert found["consistency"].item() == pytest.approx((weight * distance).item(), rel=1e-4)
    expected = cross_entropy_and_dice(logits[:2], batch.labels)
    assert found["supervised"].item() == pytest.approx(expected.item(), rel=1e-4)
    noisy = method.noisy(torch.zeros(1, 1, 200, 200))
    assert noisy.std().item() == pytest.approx(0.095, abs=0.01) and noisy.abs().max() <= 0.2


def test_soft_mean_teacher_begins_after_a_thirtieth():
    method = make("mean-teacher-soft", schema_of(3), epochs=30, iterations_per_epoch=2).train()
    batch = make_batch(schema_of(3))
    method.after_step(1)
    assert "consistency" not in method.losses(batch)
    method.after_step(2)
    assert "consistency" in method.losses(batch)


# --- CPS


def test_cps_networks_label_for_each_other():
    batch, method = make_batch(schema_of(3)), make_halfway("cps", schema_of(3))
    images = torch.cat([batch.images, batch.unlabelled])
    found = method.losses(batch)
    one, two = method.network(images), method.second(images)
    assert not torch.allclose(one, two)  # they start apart
    crossed = F.cross_entropy(one[2:], two[2:].argmax(1)) + F.cross_entropy(
        two[2:], one[2:].argmax(1)
    )
    assert found["cross"].item() == pytest.approx(0.1 * math.exp(-1.25) * crossed.item(), rel=1e-4)
    true = sum(cross_entropy_and_dice(logits[:2], batch.labels) for logits in (one, two))
    assert found["supervised"].item() == pytest.approx(true.item(), rel=1e-4)


# --- MC-Net


def test_sharpening():
    p = torch.tensor([0.0, 0.2, 0.5, 0.6, 1.0])
    expected = [0, 0.2**10 / (0.2**10 + 0.8**10), 0.5, 0.6**10 / (0.6**10 + 0.4**10), 1]
    assert sharpened(p, 0.1).tolist() == pytest.approx(expected)
    assert torch.allclose(sharpened(p, 1.0), p)


@pytest.mark.parametrize(("name", "count"), [("mc-net", 2), ("mc-net-plus", 3)])
def test_mc_net_decoders_agree_with_each_others_sharpened_view(name, count):
    batch, method = make_batch(schema_of(3)), make_halfway(name, schema_of(3))
    found = method.losses(batch)
    levels = method.network.encode(torch.cat([batch.images, batch.unlabelled]))
    views = [method.network.head(method.network.decode(levels))]
    views += [decoder(levels) for decoder in method.decoders]
    assert len(views) == count
    p = [softmax_of(view) for view in views]
    distance = sum(((a - sharpened(b, 0.1)) ** 2).mean() for a, b in permutations(p, 2))
    expected = 0.1 * math.exp(-1.25) * distance.item()
    assert found["consistency"].item() == pytest.approx(expected, rel=1e-4)
    true = sum(dice_loss(one[:2], batch.labels).item() for one in p)
    assert found["supervised"].item() == pytest.approx(true, rel=1e-4)


# --- BCP


def test_bcp_masked_mix_loss():
    """mix(o; A, B, M, w_A, w_B) = w_A [Dice_M + CE_M](o, A) + w_B [Dice_{1-M} + CE_{1-M}](o, B)."""
    batch, method = make_batch(schema_of(3)), make_halfway("bcp", schema_of(3))
    torch.manual_seed(7)
    found = method.losses(batch)
    torch.manual_seed(7)
    m = ~random_rectangle((40, 32), 26, 21)
    a, b = batch.images
    u, v = batch.unlabelled
    pseudo = largest_components(method.teacher_logits(batch.unlabelled).argmax(1))
    x1, x2 = u * m + a * ~m, b * m + v * ~m
    o1, o2 = method.network(torch.stack([x1, x2]))

    def region(o, target, mask):
        p = o.softmax(0)
        mask = mask & (target != IGNORE_INDEX)
        q = F.one_hot(target.masked_fill(~mask, 0), 4).permute(2, 0, 1).float()
        above = (2 * p * q * mask).sum((1, 2)) + 1e-5
        below = ((p**2 + q**2) * mask).sum((1, 2)) + 1e-5
        ce = -(o.log_softmax(0) * q).sum(0)[mask].mean()
        return (1 - (above / below).mean() + ce) / 2

    true = region(o1, batch.labels[0], ~m) + region(o2, batch.labels[1], m)
    taught = region(o1, pseudo[0], m) + region(o2, pseudo[1], ~m)
    assert found["supervised"].item() == pytest.approx(true.item(), rel=1e-4)
    assert found["pseudo"].item() == pytest.approx(0.5 * taught.item(), rel=1e-4)


def test_bcp_begins_with_labelled_pairs_and_a_copied_teacher():
    batch = make_batch(schema_of(3))
    method = make("bcp", schema_of(3), epochs=4, iterations_per_epoch=2).train()
    torch.manual_seed(7)
    found = method.losses(batch)
    assert list(found) == ["supervised"]
    torch.manual_seed(7)
    m = ~random_rectangle((40, 32), 26, 21)
    a, b = batch.images
    o = method.network((a * m + b * ~m)[None])
    y_a, y_b = batch.labels.masked_fill(torch.stack([~m, m]), IGNORE_INDEX)
    expected = cross_entropy_and_dice(o, y_a[None]) + cross_entropy_and_dice(o, y_b[None])
    assert found["supervised"].item() == pytest.approx(expected.item(), rel=1e-4)
    weight, taught = next(method.network.parameters()), next(method.teacher.parameters())
    for step, follows in ((1, 1.0), (2, 1.0), (3, 0.01)):  # the first part is a quarter: 2 steps
        with torch.no_grad():
            weight.fill_(1.0), taught.fill_(0.0)
        method.after_step(step)
        assert taught.mean().item() == pytest.approx(follows)


def test_halves_share_nothing_and_repeat_the_fewer():
    assert [h.tolist() for h in halves(4, 2)] == [[0, 2], [1, 3]]
    assert [h.tolist() for h in halves(2, 3)] == [[0, 0, 0], [1, 1, 1]]
    assert [h.tolist() for h in halves(1, 1)] == [[0], [0]]
    assert [h.tolist() for h in halves(3, 2)] == [[0, 2], [1, 1]]


# --- GraphCL


def test_graphcl_clustering_by_counting():
    method = make_halfway("graphcl", schema_of(3), options={"dropout": 0.0})
    with torch.no_grad():  # clusters far from uniform, so that the graph matters
        method.theta.weight.mul_(5), method.assign[-1].weight.mul_(20)
    features = torch.randn(2, 8, 3, 2) + 0.5
    found = method.clustering(features).item()
    total = 0.0
    for image in features:
        nodes = F.normalize(image.flatten(1).T, dim=1)
        products = nodes @ nodes.T
        w = products - products.max() / 2
        edges = w.clamp_min(0) + torch.eye(6)
        d = torch.diag(edges.sum(1) ** -0.5)
        s = method.assign(torch.relu(d @ edges @ d @ method.theta(nodes))).softmax(1)
        agree = s @ s.T
        total += -sum(w[i, j] * agree[i, j] for i, j in np.ndindex(6, 6)).item() / 36
    assert found == pytest.approx(total / 2, rel=1e-4)


def test_graphcl_affinity_has_both_signs_and_a_fair_graph():
    nodes = F.normalize(torch.randn(1, 12, 4), dim=2)
    w = affinities(nodes, 2.0)
    assert w.min() < 0 < w.max() and w.max().item() == pytest.approx(0.5)
    joined = normalised_adjacency(w)
    assert torch.allclose(joined, joined.transpose(1, 2))
    assert torch.linalg.eigvalsh(joined).abs().max().item() == pytest.approx(1, abs=1e-5)


def test_graphcl_adds_clustering_to_bcp():
    batch = make_batch(schema_of(3))
    graph, plain = (make_halfway(name, schema_of(3)) for name in ("graphcl", "bcp"))
    found = []
    for method in (graph, plain):
        torch.manual_seed(1)
        found.append({name: loss.item() for name, loss in method.losses(batch).items()})
    ours, theirs = found
    assert ours.pop("clustering") != 0
    assert ours == pytest.approx(theirs)


# --- UniMatch


def test_unimatch_takes_only_confident_labels():
    logits = torch.tensor([[3.0, 0.0], [0.2, 0.0], [0.0, 4.0]]).T[None, :, :, None]
    assert confident_label(logits, 0.95)[0, :, 0].tolist() == [0, IGNORE_INDEX, 1]


def test_unimatch_weak_label_teaches_strong_views_and_dropped_features():
    batch = make_batch(schema_of(3))
    options = {"confidence": 0.3, "dropout": 0.0, "cutmix": 1.0}
    method = make_halfway("unimatch", schema_of(3), options=options)
    torch.manual_seed(4)
    found = method.losses(batch)
    torch.manual_seed(4)
    # without dropout the second decoding equals the first
    levels = method.network.encode(torch.cat([batch.images, batch.unlabelled]))
    levels = [torch.cat([level, F.dropout2d(level[2:], 0.0)]) for level in levels]
    logits = method.network.head(method.network.decode(levels))
    p = softmax_of(logits[2:4])
    label = p.argmax(1).masked_fill(p.amax(1) < 0.3, IGNORE_INDEX)
    assert (label == IGNORE_INDEX).any() and (label != IGNORE_INDEX).any()
    views = []
    for _ in range(2):
        boxes = torch.stack([cutmix_box((40, 32), 1.0) for _ in range(2)])
        seen = strong_view(batch.unlabelled)
        views.append(
            (
                torch.where(boxes[:, None], seen[[1, 0]], seen),
                torch.where(boxes, label[[1, 0]], label),
            )
        )
    strong = softmax_of(method.network(torch.cat([image for image, _ in views])))
    loss = sum(dice_loss(strong[2 * i : 2 * i + 2], views[i][1]) for i in range(2))
    assert found["strong"].item() == pytest.approx(0.125 * loss.item(), rel=1e-4)
    assert found["features"].item() == pytest.approx(
        0.25 * dice_loss(softmax_of(logits[4:]), label).item(), rel=1e-4
    )
    expected = 0.5 * cross_entropy_and_dice(logits[:2], batch.labels).item()
    assert found["supervised"].item() == pytest.approx(expected, rel=1e-4)


# --- SS-Net


def test_vat_direction_is_where_a_linear_distance_grows():
    """For distance(x) = (w . x)^2 the direction of length 1 is +-w / |w|, one for each image."""
    images, w = torch.zeros(2, 1, 4, 3), torch.randn(4, 3)
    found = adversarial_direction(
        images, lambda x: ((x * w).flatten(1).sum(1) ** 2).sum(), reach=10.0
    )
    assert torch.allclose(found.flatten(1).norm(dim=1), torch.ones(2))
    cosines = (found[:, 0] * w).sum((1, 2)) / w.norm()
    assert torch.allclose(cosines.abs(), torch.ones(2), atol=1e-5)
    assert not unit(torch.zeros(1, 1, 2, 2)).any()


def test_ss_net_withstands_the_found_change_more_than_a_random_one():
    batch, method = make_batch(schema_of(3)), make_halfway("ss-net", schema_of(3))
    images = torch.cat([batch.images, batch.unlabelled])
    logits = method.network(images)
    clean = softmax_of(logits.detach())
    with torch.no_grad():
        random = unit(torch.rand(images.shape) - 0.5)
        plain = dice_loss(softmax_of(method.network(images + 6 * random)), clean)
    statistics = [b.clone() for b in method.network.buffers()]
    found = method.adversarial_loss(images, logits)
    assert found > plain
    assert all(map(torch.equal, statistics, method.network.buffers()))
    with frozen_statistics(method.network), torch.no_grad():
        again = method.network(images)
    assert torch.allclose(again, logits)  # the batch's statistics are in use all the same


def test_ss_net_contrast_by_counting():
    memory = ClassMemory(4, 3, 2)
    memory.renew(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]), torch.tensor([1, 1, 2]))
    queries = torch.tensor([[1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    scores, classes = torch.tensor([0.2, 0.6, 0.5]), torch.tensor([1, 1, 2])
    found = contrast(queries, scores, classes, memory).item()
    half = math.sqrt(0.5)
    w = [2 * 0.2 / 0.8, 2 * 0.6 / 0.8]
    first = (w[0] * ((1 - half) + (1 - half)) + w[1] * ((1 - 0) + (1 - 1))) / 4
    second = 1 + half
    assert found == pytest.approx((first + second) / 4, rel=1e-5)


def test_ss_net_scores_give_features_no_gradient():
    method = make_halfway("ss-net", schema_of(3))
    method.memory.renew(torch.randn(3, 4), torch.tensor([1, 2, 3]))
    features, labels = torch.randn(2, 4, 6, 5), torch.randint(0, 4, (2, 6, 5))
    found = []
    for loss_of in (method.contrast_loss, with_constant_scores(method)):
        torch.manual_seed(1)
        leaf = features.clone().requires_grad_()
        found.append(torch.autograd.grad(loss_of(leaf, labels, "labelled"), leaf)[0])
    assert found[0].abs().max() > 0 and torch.allclose(found[0], found[1])


def with_constant_scores(method):
    def loss(features, labels, part):
        rows, classes = pick_pixels(features, labels, method.own.pixels)
        queries = method.predict(method.project(rows))
        scores = method.scores[part](queries, classes).detach()
        return contrast(queries, scores, classes, method.memory)

    return loss


def test_ss_net_remembers_correct_labelled_pixels_and_keeps_absent_classes():
    memory = ClassMemory(3, 2, 1)
    memory.renew(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 2]))
    memory.renew(torch.tensor([[5.0], [6.0]]), torch.tensor([2, 2]))
    assert memory.of(1).tolist() == [[1.0]] and memory.of(2).tolist() == [[5.0], [6.0]]
    labels = torch.tensor([[[0, 1, 2, IGNORE_INDEX]]])
    assert memory.knows(labels).tolist() == [[[False, True, True, False]]]
    method = make_halfway("ss-net", schema_of(2), options={"memory": 2})
    labels = torch.tensor([[[1, 1, 2, 2, 0, IGNORE_INDEX, 1, 1]]])
    guess = torch.tensor([[[1, 2, 1, 1, 0, 0, 1, 1]]])  # of class 1 three are right, of 2 none
    logits = F.one_hot(guess, 3).permute(0, 3, 1, 2).float()
    features = torch.randn(1, 4, 1, 8)
    method.remember(features, logits, labels)
    assert method.memory.counts.tolist() == [0, 2, 0]
    with torch.no_grad():
        projected = method.project.eval()(features[0, :, 0, [0, 6, 7]].T)
    for row in method.memory.of(1):
        assert torch.isclose(projected, row, atol=1e-6).all(dim=1).any()


# --- UCMT


def test_ucmt_both_updates_use_the_same_formula():
    batch, method = make_batch(schema_of(3)), make_halfway("ucmt", schema_of(3))
    torch.manual_seed(2)
    first, mixed = (
        {name: loss.item() for name, loss in losses.items()} for losses in method.updates(batch)
    )
    torch.manual_seed(2)
    teacher = softmax_of(method.teacher_logits(torch.cat([batch.images, batch.unlabelled])))
    pseudo = teacher[2:].argmax(1)
    views = [torch.cat([batch.images, strong_view(batch.unlabelled)]) for _ in range(2)]

    def dice(logits, labels):
        return dice_loss(softmax_of(logits), labels, each_image=True, squared=False)

    def terms(images, labels, pseudo):
        one, two = method.network(images[0]), method.second(images[1])
        true = dice(one[:2], labels) + dice(two[:2], labels)
        taught = (dice(one[2:], pseudo) + dice(two[2:], pseudo)) / 2
        crossed = (dice(one[2:], two[2:].argmax(1)) + dice(two[2:], one[2:].argmax(1))) / 2
        return [true.item(), 0.1 * taught.item(), 0.1 * crossed.item()], (one, two)

    expected, logits = terms(views, batch.labels, pseudo)
    assert list(first.values()) == pytest.approx(expected, rel=1e-4)
    unsure = [patch_means(entropy((softmax_of(p) + teacher) / 2), (5, 2)) for p in logits]
    standing = sources(*unsure, 2)
    image = rearranged(views[0], standing, (5, 2))
    labels, moved = (
        rearranged(planes[:, None], part, (5, 2))[:, 0]
        for planes, part in ((batch.labels, standing[:2]), (pseudo, standing[2:]))
    )
    expected, _ = terms([image, image], labels, moved)
    assert list(mixed.values()) == pytest.approx(expected, rel=1e-4)
    assert not torch.equal(image, views[0])


def test_ucmt_segments_with_the_teacher_of_both_students():
    method = make("ucmt", schema_of(3))
    assert method.inference_network() is method.teacher
    parts = [next(n.parameters()) for n in (method.teacher, method.network, method.second)]
    with torch.no_grad():
        for part, value in zip(parts, (0.0, 1.0, 2.0), strict=True):
            part.fill_(value)
    method.after_step(1)
    assert parts[0].mean().item() == pytest.approx(0.5 * 1.01)


# --- CPS4's copy-paste


def test_what_cps4_pastes_is_known():
    schema = schema_of(3)
    batch = make_batch(schema)
    batch.decoded, batch.level_sure = batch.text, torch.zeros_like(batch.text, dtype=torch.bool)
    batch.decoded_hidden = torch.ones(2, schema.class_count, 40, 32, dtype=torch.bool)
    method = make("cps4", schema, pseudo_labels="decoded", options={"copy_paste": 0.5}).train()
    seen, enhanced = method.seen_by_student(batch, method.enhanced(batch))
    there = seen.level_sure  # no level was sure before
    assert 0 < there.float().mean() < 0.5
    assert torch.equal(there, ~seen.decoded_hidden.any(dim=1))  # and nothing hides there
    donors = batch.images[:, 0][None], batch.labels[None]
    for label in (seen.text, seen.decoded, enhanced):
        assert torch.equal(label[~there], batch.text[~there])
    assert torch.equal(seen.unlabelled[:, 0][~there], batch.unlabelled[:, 0][~there])
    known = set(zip(*(d.flatten().tolist() for d in donors), strict=True))
    pasted = zip(seen.unlabelled[:, 0][there].tolist(), seen.decoded[there].tolist(), strict=True)
    assert set(pasted) <= known
