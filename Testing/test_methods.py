"""The contract that every registered method keeps."""

from __future__ import annotations

import pytest
import torch
from tiny_study import tiny_config

from CPS4Core.errors import CPS4Error
from CPS4Core.methods.enhanced_label import enhanced_label
from CPS4Core.methods.method import Batch, method_class, methods, register
from CPS4Core.model_folder import make_network
from CPS4Core.schema import IGNORE_INDEX, LabelSchema, Structure, built_in_schema

KINDS = ("vertebra", "disc", "other")


def schema_of(count: int) -> LabelSchema:
    structures = tuple(
        Structure(i + 1, f"s{i}", f"structure {i}", (1, 2, 3), KINDS[i % 3], order=i)
        for i in range(count)
    )
    return LabelSchema("made", structures)


def make(name: str, schema: LabelSchema, **options):
    torch.manual_seed(0)
    config = tiny_config(f"stage2.method={name}")
    stage2 = config.stage2.model_copy(update=options)
    return method_class(name)(make_network(config, schema), schema, stage2)


def make_batch(schema: LabelSchema) -> Batch:
    generator = torch.Generator().manual_seed(1)
    count, size = schema.class_count, (40, 32)
    labels = torch.randint(0, count, (2, *size), generator=generator)
    labels[0, 0] = IGNORE_INDEX
    soft = torch.rand(2, count, *size, generator=generator)
    text = soft.argmax(dim=1)
    text[:, 0] = IGNORE_INDEX
    images = torch.rand(4, 1, *size, generator=generator)
    return Batch(images[:2], labels, images[2:], text, soft)


def gradient_of(method, loss) -> torch.Tensor:
    method.zero_grad()
    loss.backward(retain_graph=True)
    return torch.cat([p.grad.reshape(-1) for p in method.trained() if p.grad is not None])


@pytest.mark.parametrize("classes", [1, 3, 19])
@pytest.mark.parametrize("name", methods())
def test_every_declared_loss_moves_a_gradient(name, classes):
    schema = schema_of(classes)
    method = make(name, schema, text_weight=1.0, enhanced_weight=1.0).train()
    losses = method.losses(make_batch(schema))
    assert losses
    for term, loss in losses.items():
        gradient = gradient_of(method, loss)
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0, term


@pytest.mark.parametrize("name", methods())
def test_a_step_lowers_the_supervised_loss_on_the_same_batch(name):
    schema = schema_of(3)
    method = make(name, schema).train()
    batch = make_batch(schema)
    optimiser = torch.optim.Adam(method.trained(), lr=1e-3)
    seen = []
    for step in range(1, 9):
        losses = method.losses(batch)
        seen.append(losses["supervised"].item())
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        method.after_step(step)
    assert seen[-1] < seen[0]


@pytest.mark.parametrize("name", methods())
def test_state_is_complete(name):
    """Another instance that loads the state gives the same losses and the same prediction."""
    schema, batch = schema_of(3), make_batch(schema_of(3))
    method = make(name, schema).train()
    for step in (1, 2):
        sum(method.losses(batch).values()).backward()
        with torch.no_grad():
            for parameter in method.trained():
                parameter -= 0.01 * parameter.grad
        method.after_step(step)
    twin = make(name, schema)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter += 1
    twin.load_state_dict(method.state_dict())
    twin.train()
    image = batch.unlabelled
    ours, theirs = (m.inference_network().eval()(image) for m in (method, twin))
    assert torch.equal(ours, theirs)
    method.train(), twin.train()
    for (term, a), b in zip(method.losses(batch).items(), twin.losses(batch).values(), strict=True):
        assert torch.equal(a, b), term


@pytest.mark.parametrize("name", methods())
def test_inference_network_gives_logits_in_every_mode(name):
    schema = schema_of(3)
    network = make(name, schema).inference_network()
    image = torch.rand(2, 1, 40, 32)
    for mode in (True, False):
        logits = network.train(mode)(image)
        assert logits.shape == (2, schema.class_count, 40, 32)
        assert not torch.allclose(logits.sum(dim=1), torch.ones(()))


@pytest.mark.parametrize("name", methods())
def test_unlabelled_slices_teach_only_after_the_warm_up(name):
    schema, batch = schema_of(3), make_batch(schema_of(3))
    method = make(name, schema, warmup=0.5, epochs=4, iterations_per_epoch=2).train()
    assert list(method.losses(batch)) == ["supervised"]
    method.after_step(4)
    declared = 1 if name == "labelled-only" else 2
    assert len(method.losses(batch)) >= declared


def test_a_term_without_weight_is_not_declared():
    schema = schema_of(3)
    method = make("cps4", schema, text_weight=0.0, enhanced_weight=1.0).train()
    assert set(method.losses(make_batch(schema))) == {"supervised", "enhanced"}


def test_unknown_method_lists_the_known():
    with pytest.raises(CPS4Error, match="mean-teacher"):
        method_class("nonesuch")


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="twice"):
        register("cps4", "again")(type("Other", (), {}))


def test_teacher_follows_formula_4():
    """g = 1: a = 1/2; g = 3: a = 3/4; later a = decay."""
    method = make("mean-teacher", schema_of(3), ema_decay=0.6)
    teacher, student = next(method.teacher.parameters()), next(method.network.parameters())
    with torch.no_grad():
        teacher.fill_(0.0), student.fill_(1.0)
    method.after_step(1)
    assert teacher.mean().item() == pytest.approx(0.5)
    method.after_step(3)  # a = min(0.75, 0.6)
    assert teacher.mean().item() == pytest.approx(0.6 * 0.5 + 0.4)


def test_teacher_gets_no_gradient_and_no_optimiser():
    method = make("cps4", schema_of(3))
    trained = {id(p) for p in method.trained()}
    assert trained and not any(id(p) in trained for p in method.teacher.parameters())


def label_of(rule, teacher_class, text_class, probability=0.9, soft_peak=0.9, **options):
    """One pixel, MRSpineSeg: the teacher sure of one class, the text of another."""
    schema = built_in_schema("mrspineseg")
    teacher, text = schema.index_of(teacher_class), schema.index_of(text_class)
    rest = (1 - probability) / (schema.class_count - 1)
    logits = torch.full((1, schema.class_count, 1, 1), rest)
    logits[0, teacher] = probability
    soft = torch.zeros_like(logits)
    soft[0, text] = soft_peak
    config = tiny_config(f"stage2.enhanced={rule}").stage2.model_copy(update=options)
    found = enhanced_label(logits.log(), torch.tensor([[[text]]]), soft, schema, config)
    index = int(found)
    return "ignored" if index == IGNORE_INDEX else schema.class_names[index]


@pytest.mark.parametrize(
    ("rule", "teacher", "text", "options", "expected"),
    [
        ("sum", "L4", "L5", {"probability": 0.9}, "L4"),
        ("sum", "L4", "L5", {"probability": 0.08}, "L5"),  # the text's margin is .079
        ("agreement", "L4", "L4", {}, "L4"),
        ("agreement", "L4", "L5", {}, "ignored"),
        ("confidence", "L4", "L5", {"soft_peak": 0.9, "confidence": 0.8}, "L5"),
        ("confidence", "L4", "L5", {"soft_peak": 0.7, "confidence": 0.8}, "L4"),
        ("weighted", "L4", "L5", {"enhanced_text_weight": 0.0}, "L4"),
        (
            "weighted",
            "L4",
            "L5",
            {"enhanced_text_weight": 2.0, "enhanced_text_temperature": 0.1},
            "L5",
        ),
        ("level", "L4", "L5", {"enhanced_text_weight": 2.0}, "L5"),
        ("level", "L4/L5", "L5", {"enhanced_text_weight": 2.0}, "L4/L5"),  # tissue stays a disc
    ],
)
def test_enhanced_label_rules(rule, teacher, text, options, expected):
    assert label_of(rule, teacher, text, **options) == expected


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, "L5"), (0.95, "ignored")])
def test_an_unsure_teacher_teaches_nothing(threshold, expected):
    found = label_of(
        "level", "L4", "L5", enhanced_text_weight=2.0, pseudo_threshold=threshold, probability=0.8
    )
    assert found == expected


def test_background_of_the_teacher_stays_background_under_the_level_rule():
    schema = built_in_schema("mrspineseg")
    logits = torch.zeros(1, schema.class_count, 1, 1)
    logits[0, 0] = 5
    soft = torch.ones_like(logits)
    config = tiny_config("stage2.enhanced=level").stage2
    label = enhanced_label(logits, torch.tensor([[[3]]]), soft, schema, config)
    assert int(label) == 0
