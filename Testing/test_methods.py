"""The contract that every registered method keeps."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from method_samples import UNTRAINED, make, make_batch, make_halfway, schema_of
from tiny_study import tiny_config

from CPS4Core.errors import CPS4Error
from CPS4Core.methods.enhanced_label import enhanced_label
from CPS4Core.methods.method import Batch, method_class, methods, register
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import IGNORE_INDEX, built_in_schema


def gradient_of(method, loss) -> torch.Tensor:
    method.zero_grad()
    loss.backward(retain_graph=True)
    return torch.cat([p.grad.reshape(-1) for p in method.trained() if p.grad is not None])


@pytest.mark.parametrize("classes", [1, 3, 19])
@pytest.mark.parametrize("name", methods())
def test_every_declared_loss_moves_a_gradient(name, classes):
    schema = schema_of(classes)
    method = make_halfway(name, schema, text_weight=1.0, enhanced_weight=1.0)
    seen = set()
    for losses in method.updates(make_batch(schema)):
        assert losses and not seen & losses.keys()  # a log tells the updates of a step apart
        seen |= losses.keys()
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
        for losses in method.updates(batch):
            if "supervised" in losses:
                seen.append(losses["supervised"].item())
            optimiser.zero_grad()
            sum(losses.values()).backward()
            optimiser.step()
        method.after_step(step)
    assert len(seen) == 8 and seen[-1] < seen[0]


@pytest.mark.parametrize("name", methods())
def test_state_is_complete(name):
    """Another instance that loads the state gives the same losses and the same prediction."""
    schema, batch = schema_of(3), make_batch(schema_of(3))
    method = make(name, schema).train()
    for step in (1, 2, 3):
        for losses in method.updates(batch):
            sum(losses.values()).backward()
            with torch.no_grad():
                for parameter in method.trained():
                    if parameter.grad is not None:
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
    next_losses = []
    for one in (method, twin):
        torch.manual_seed(5)
        next_losses.append(one.train().losses(batch))
    ours, theirs = next_losses
    assert ours.keys() == theirs.keys()
    for term in ours:
        assert torch.equal(ours[term], theirs[term]), term


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


@pytest.mark.parametrize("name", methods())
def test_plain_warm_ups_are_one_and_the_same(name):
    schema, batch = schema_of(3), make_batch(schema_of(3))
    batch.unlabelled = batch.unlabelled[:0]

    def warmed_up(which):
        method = make(which, schema, warmup=0.5, epochs=4, iterations_per_epoch=2).train()
        optimiser = torch.optim.Adam(method.trained(), lr=1e-3)
        for step in range(1, 4):
            torch.manual_seed(step)
            for losses in method.updates(batch):
                optimiser.zero_grad()
                sum(losses.values()).backward()
                optimiser.step()
            method.after_step(step)
        moved = {id(p) for p, s in optimiser.state.items() if s}
        alone = moved == {id(p) for p in method.network.parameters()}
        return method.network.state_dict(), alone

    (ours, alone), (plain, _) = warmed_up(name), warmed_up("labelled-only")
    same = all(torch.equal(ours[k], plain[k]) for k in plain)
    assert (same and alone) == method_class(name).warms_up_plainly()


@pytest.mark.parametrize("name", methods())
def test_the_declared_cost_is_what_a_step_does(name, monkeypatch):
    schema, batch = schema_of(3), make_batch(schema_of(3))
    method = make_halfway(name, schema)
    counts = {"updates": 0, "forwards": 0, "backwards": 0}

    def count(kind, function=None):
        def counted(*arguments, **named):
            counts[kind] += 1
            return function(*arguments, **named) if function else None

        return counted

    for network in method.modules():
        if isinstance(network, ResUNet):
            network.down[0].register_forward_hook(count("forwards"))
    monkeypatch.setattr(torch.Tensor, "backward", count("backwards", torch.Tensor.backward))
    monkeypatch.setattr(torch.autograd, "grad", count("backwards", torch.autograd.grad))
    for losses in method.updates(batch):
        sum(losses.values()).backward()
        counts["updates"] += 1
    assert counts == asdict(method.cost)
    assert str(counts["forwards"]) in str(method.cost)


def other_value(value):
    """Another value that the option may take."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(1, value // 2)
    return value * 1.5 if value > 1 else 0.6


def trained_trace(method, batch: Batch) -> list[float]:
    """Every loss of a short training."""
    trace = []
    method.train()
    for step in range(1, method.options.total_steps + 1):
        torch.manual_seed(step)
        for losses in method.updates(batch):
            trace += [loss.item() for loss in losses.values()]
            method.zero_grad()
            sum(losses.values()).backward()
            with torch.no_grad():
                for parameter in method.trained():
                    if parameter.grad is not None:
                        parameter -= 0.1 * parameter.grad
        method.after_step(step)
    return trace


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name, cls in methods().items() for option in cls.Options.model_fields],
)
def test_every_option_of_a_method_changes_its_training(name, option):
    schema = schema_of(3)
    own = UNTRAINED.get(name, {})
    default = method_class(name).Options(**own)
    changed = own | {option: other_value(getattr(default, option))}
    usual, other = (
        trained_trace(make(name, schema, options=options), make_batch(schema))
        for options in (own, changed)
    )
    assert usual != other


@pytest.mark.parametrize("name", methods())
def test_a_wrong_option_is_named_with_the_known_ones(name):
    with pytest.raises(CPS4Error, match=f"stage2.options.nonesuch of the method '{name}'") as error:
        make(name, schema_of(3), options={"nonesuch": 1})
    for known in method_class(name).Options.model_fields:
        assert known in str(error.value)


def test_options_come_from_the_configuration():
    method = method_class("bcp")
    given = tiny_config("stage2.method=bcp", "stage2.options.pretrain=0.5").stage2
    assert method.read_options(given).pretrain == 0.5
    assert method.read_options(tiny_config().stage2).pretrain == 0.25
    with pytest.raises(CPS4Error, match="stage2.options.pretrain of the method 'bcp'"):
        method.read_options(tiny_config("stage2.options.pretrain=2").stage2)


@pytest.mark.parametrize(
    ("labelled", "unlabelled"), [(1, 1), (1, 2), (2, 1), (3, 2)], ids=lambda n: str(n)
)
@pytest.mark.parametrize("name", methods())
def test_any_numbers_of_slices(name, labelled, unlabelled):
    schema, batch = schema_of(3), make_batch(schema_of(3))
    several = [0, 1, 0]
    batch.images, batch.labels = (t[several[:labelled]] for t in (batch.images, batch.labels))
    batch.unlabelled, batch.text, batch.text_soft = (
        t[:unlabelled] for t in (batch.unlabelled, batch.text, batch.text_soft)
    )
    batch.hidden = torch.zeros(labelled, 4, 40, 32, dtype=torch.bool)
    batch.hidden[0, 3, 20:] = True
    method = make_halfway(name, schema)
    for losses in method.updates(batch):
        sum(losses.values()).backward()
        assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("name", methods())
def test_slices_without_a_known_pixel_do_no_harm(name):
    schema, batch = schema_of(3), make_batch(schema_of(3))
    batch.labels = torch.full_like(batch.labels, IGNORE_INDEX)
    method = make_halfway(name, schema)
    for losses in method.updates(batch):
        sum(losses.values()).backward()
    for parameter in method.trained():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


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
