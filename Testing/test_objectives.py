"""The contract that every registered objective of stage 1 keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_samples import sagittal_volume
from method_samples import schema_of
from test_training import StopAfter, make_run, one_thread, rows_of, study  # noqa: F401
from tiny_study import tiny_config

from CPS4Core.encoders.class_map import FILE, MapForm, read_form
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.methods.method import Batch
from CPS4Core.model_folder import load_weights, read_model
from CPS4Core.pretrain.objective import Objective, objective_class, objectives, register
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.model import (
    load_prompt_attention,
    load_text_encoder,
    new_vectors,
    trained_vectors,
)
from CPS4Core.prompt_maps.volume import PromptMapper
from CPS4Core.schema import IGNORE_INDEX, LabelSchema
from CPS4Core.training.stage1 import make_pretraining
from CPS4Core.volumes.sagittal import to_sagittal

CASES = [(name,) for name in objectives()] + [("amvlm", "stage1.options.text_mask=true")]
IDS = [" ".join(case) for case in CASES]
every_objective = pytest.mark.parametrize("case", CASES, ids=IDS)


def options_of(case: tuple[str, ...]) -> list[str]:
    return [f"stage1.objective={case[0]}", *case[1:]]


def make(case: tuple[str, ...], schema: LabelSchema, *overrides: str) -> Objective:
    torch.manual_seed(0)
    return make_pretraining(tiny_config(*options_of(case), *overrides), schema).train()


def make_batch(schema: LabelSchema) -> Batch:
    """Four slices: two with the same classes, one with a further class, one without any."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(4, 40, 32, dtype=torch.long)
    labels[:3, 4:16, 8:20] = 1
    labels[2, 16:30, 8:20] = schema.class_count - 1
    labels[0, 0] = IGNORE_INDEX
    images = torch.rand(4, 1, 40, 32, generator=generator) * 0.5 + (labels == 1)[:, None] * 0.4
    return Batch(images, labels, images[:0])


def gradient_of(module: Objective, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    module.zero_grad()
    loss.backward(retain_graph=True)
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("classes", [1, 3, 19])
@every_objective
def test_every_declared_loss_moves_the_encoders(case, classes):
    schema = schema_of(classes)
    module = make(case, schema)
    losses = module.losses(make_batch(schema))
    assert losses
    moved = set()
    for term, loss in losses.items():
        found = gradient_of(module, loss)
        assert all(torch.isfinite(g).all() for g in found.values()), term
        parts = {part for n, g in found.items() if g.abs().max() > 0 for part in parts_of(n)}
        # The text masks are learnt on frozen encoders.
        assert parts & ({"decoder"} if term == "text-mask" else {"vision", "text"}), term
        moved |= parts
    assert moved >= {"vision", "text"}


def parts_of(parameter: str) -> set[str]:
    return set(parameter.split(".")[:2]) & {"vision", "text", "decoder"}


@every_objective
def test_batches_without_a_contrast_stay_finite(case):
    """One caption for all, one slice alone, nothing labelled."""
    schema = schema_of(3)
    module = make(case, schema)
    whole = make_batch(schema)
    unlabelled = torch.full_like(whole.labels, IGNORE_INDEX)
    for images, labels in (
        (whole.images[:2], whole.labels[:2]),
        (whole.images[:1], whole.labels[:1]),
        (whole.images, unlabelled),
    ):
        losses = module.losses(Batch(images, labels, images[:0]))
        found = gradient_of(module, sum(losses.values()))
        assert all(torch.isfinite(g).all() for g in found.values())


@every_objective
def test_classes_that_may_hide_are_taken_as_they_come(case):
    schema = schema_of(3)
    module, batch = make(case, schema), make_batch(schema)
    batch.hidden = torch.zeros(4, schema.class_count, 40, 32, dtype=torch.bool)
    batch.hidden[:, 2, 30:] = True
    losses = module.losses(batch)
    assert all(torch.isfinite(loss) for loss in losses.values())


@every_objective
def test_steps_lower_the_loss_on_the_same_batch(case):
    schema = schema_of(3)
    module, batch = make(case, schema), make_batch(schema)
    optimiser = torch.optim.Adam(module.trained(), lr=1e-3)
    seen = []
    for step in range(1, 13):
        torch.manual_seed(5)  # the same second view each time
        losses = module.losses(batch)
        seen.append(sum(loss.item() for loss in losses.values()))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        module.after_step(step)
    assert seen[-1] < seen[0]


@every_objective
def test_state_is_complete(case):
    """Another instance that loads the state gives the same losses, momentum encoders included."""
    schema, batch = schema_of(3), make_batch(schema_of(3))
    module = make(case, schema)
    for step in (1, 2, 3):
        sum(module.losses(batch).values()).backward()
        with torch.no_grad():
            for parameter in module.trained():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad.clamp(-1, 1)
        module.after_step(step)
    twin = make(case, schema)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter += 1
    twin.load_state_dict(module.state_dict())
    found = []
    for one in (module, twin):
        torch.manual_seed(7)
        found.append(one.train().losses(batch))
    for term, loss in found[0].items():
        assert torch.equal(loss, found[1][term]), term
    assert torch.equal(module.vectors(), twin.vectors())


@every_objective
def test_the_class_map_gives_an_activation_for_every_patch_and_prompt(case):
    schema = schema_of(5)
    module = make(case, schema).eval()
    with torch.inference_mode():
        soft, cosines = module.class_map(torch.rand(2, 1, 40, 32), module.vectors())
    finer = 2**module.class_map.form.doublings
    assert soft.shape == cosines.shape == (2, schema.class_count, 5 * finer, 4 * finer)
    assert soft.min() >= 0 and soft.max() <= 1 and cosines.abs().max() <= 1 + 1e-5
    assert soft.flatten(2).std(dim=2).min() > 0


@every_objective
def test_training_resumes_exactly_and_the_saved_maps_are_those_of_the_training(
    study,  # noqa: F811
    tmp_path,
    case,
):
    overrides = (*options_of(case), "stage1.epochs=3")
    whole = make_run(study, tmp_path / "whole", *overrides).stage1(Progress())
    with pytest.raises(Cancelled):
        make_run(study, tmp_path / "broken", *overrides).stage1(StopAfter("stage 1", 2))
    broken = make_run(study, tmp_path / "broken", *overrides).stage1(Progress())
    for name in ("vision_language.safetensors", "text_vectors.safetensors"):
        ours, theirs = (load_weights(i.folder / name) for i in (whole, broken))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert rows_of(tmp_path / "whole" / "stage1") == rows_of(tmp_path / "broken" / "stage1")
    assert whole.metrics["stage1"]["objective"] == case[0]
    check_saved_maps(whole.folder, case)


def check_saved_maps(folder: Path, case: tuple[str, ...]) -> None:
    """The class map of the folder alone is the trained one, and reads its own prompts the same."""
    info = read_model(folder)
    loaded, vectors = load_prompt_attention(info), trained_vectors(info)
    config = tiny_config(*options_of(case))
    trained = make_pretraining(config, info.schema).eval()
    trained.class_map.load_state_dict(load_weights(folder / "vision_language.safetensors"))
    image = torch.rand(1, 1, 40, 32)
    with torch.inference_mode():
        ours, theirs = (m(image, vectors)[0] for m in (loaded, trained.class_map))
        assert torch.equal(ours, theirs)
        again = new_vectors(load_text_encoder(info), loaded, info.schema.prompts)
    if loaded.form.pooling in ("", "name-words"):  # a new prompt names itself, all of it
        assert again.shape == vectors.shape
    else:
        assert torch.allclose(again, vectors, atol=1e-5)
    check_own_prompts(PromptMapper(info))


def check_own_prompts(mapper: PromptMapper) -> None:
    """From what was kept of a volume come the same maps; a prompt of one's own has a map, which
    does not depend on what else is asked."""
    stack = to_sagittal(sagittal_volume(slices=2))
    seen = mapper.features(stack)
    assert np.array_equal(mapper.maps(stack).attention, mapper.maps_of(seen).attention)
    mapper.ask(["the sacrum"])
    alone = mapper.maps_of(seen).attention.astype(np.float32)
    assert alone.std() > 1e-4, "the same everywhere"
    mapper.ask(["the sacrum", "a disc"])
    assert np.allclose(mapper.maps_of(seen).attention[:, :1], alone, atol=2e-3)


@pytest.mark.parametrize(
    "options",
    [
        ("stage1.objective=clip", "stage1.options.activation=softmax"),
        ("vision_language.activation=cross-class",),
    ],
)
def test_where_prompts_compete_an_own_one_competes_with_the_classes(study, tmp_path, options):  # noqa: F811
    info = make_run(study, tmp_path / "run", *options).stage1(Progress())
    check_own_prompts(PromptMapper(info))


@every_objective
def test_options_are_checked(case):
    cls = objective_class(case[0])
    config = tiny_config("stage1.options.nonesuch=1").stage1
    with pytest.raises(CPS4Error, match=r"stage1\.options\.nonesuch.*" + case[0]):
        cls.read_options(config)
    for name, field in cls.Options.model_fields.items():
        wrong = tiny_config(f"stage1.options.{name}=[-1]").stage1
        with pytest.raises(CPS4Error, match=rf"stage1\.options\.{name}"):
            cls.read_options(wrong)
        assert not field.is_required(), name


def test_a_wrong_option_begins_no_run(study, tmp_path):  # noqa: F811
    wrong = ("stage1.objective=clip", "stage1.options.activation=none")
    with pytest.raises(CPS4Error, match="activation"):
        make_run(study, tmp_path / "run", *wrong).stage1(Progress())
    assert not (tmp_path / "run").exists()
    with pytest.raises(CPS4Error, match="Known objectives: amvlm, clip"):
        make_run(study, tmp_path / "run", "stage1.objective=klip").stage1(Progress())


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="twice"):
        register("clip", "again")(type("Other", (), {}))


def test_a_term_without_weight_is_not_declared():
    schema = schema_of(3)
    weights = {
        "egma-mask": ("mask_weight", {"mask-by-sentence", "mask-by-patch"}),
        "mgca": ("prototype_weight", {"prototype"}),
        "dusss": ("mask_image_weight", {"mask-image"}),
        "amvlm": ("icl_weight", {"icl"}),
    }
    for name, (weight, terms) in weights.items():
        everything = set(make((name,), schema).losses(make_batch(schema)))
        without = make((name,), schema, f"stage1.options.{weight}=0").losses(make_batch(schema))
        assert everything - set(without) == terms, name


def test_prototypes_rest_during_the_first_epoch():
    schema, batch = schema_of(3), make_batch(schema_of(3))
    module = make(("mgca",), schema)
    for step, moved in ((0, False), (2, True)):  # two iterations an epoch
        module.steps_done.fill_(step)
        found = gradient_of(module, module.losses(batch)["prototype"])
        assert ("prototypes" in found) == moved


def test_momentum_encoders_follow_slowly_and_get_no_gradient():
    schema, batch = schema_of(3), make_batch(schema_of(3))
    module = make(("dusss",), schema, "stage1.options.momentum=0.75")
    slow, fast = module.momentum["project_image"].bias, module.project_image.bias
    assert not any(n.startswith("momentum") for n in gradient_of(module, _total(module, batch)))
    with torch.no_grad():
        fast.fill_(1.0), slow.fill_(0.0)
    module.after_step(1)
    assert slow.mean().item() == pytest.approx(0.25)
    module.started()
    assert torch.equal(slow, fast)


def _total(module: Objective, batch: Batch) -> torch.Tensor:
    return sum(module.losses(batch).values(), start=torch.zeros(()))


def test_a_model_of_before_objectives_has_the_class_map_of_cps4(study, tmp_path):  # noqa: F811
    info = make_run(study, tmp_path / "run").stage1(Progress())
    with_form = load_prompt_attention(info)
    (info.folder / FILE).unlink()
    assert read_form(info.folder) == MapForm() == with_form.form
    image, vectors = torch.rand(1, 1, 40, 32), trained_vectors(info)
    with torch.inference_mode():
        assert torch.equal(
            load_prompt_attention(info)(image, vectors)[0], with_form(image, vectors)[0]
        )


def test_a_newer_class_map_is_refused_with_its_cure(study, tmp_path):  # noqa: F811
    info = make_run(study, tmp_path / "run").stage1(Progress())
    for text, said in (('{"kind": "other"}', "kind 'other'"), ('{"rank": 3}', "property rank")):
        (info.folder / FILE).write_text(text)
        with pytest.raises(CPS4Error, match=said):
            load_prompt_attention(info)


def test_stage_2_learns_from_the_maps_of_another_objective(study, tmp_path):  # noqa: F811
    prompts = tmp_path / "prompts"
    make_run(study, prompts, "stage1.objective=dusss").stage1(Progress())
    with pytest.raises(CPS4Error, match="trained by dusss"):
        make_run(study, tmp_path / "wrong", pretrained=prompts).stage2(Progress())
    run = make_run(study, tmp_path / "run", "stage1.objective=dusss", pretrained=prompts)
    info = run.stage2(Progress())
    assert read_form(info.folder).doublings == 1  # patches of 8 pixels to tokens of 4
    assert load_prompt_attention(read_model(info.folder)).form.activation == "sigmoid"
    shutil.rmtree(prompts)  # the model stands alone


def test_another_class_map_is_no_beginning(study, tmp_path):  # noqa: F811
    make_run(study, tmp_path / "first", "stage1.objective=clip").stage1(Progress())
    run = make_run(study, tmp_path / "second", initial=tmp_path / "first")
    with pytest.raises(CPS4Error, match="another class map"):
        run.stage1(Progress())
    again = make_run(study, tmp_path / "third", "stage1.objective=clip", initial=tmp_path / "first")
    assert again.stage1(Progress()).provenance["initial"]["name"] == "first"


OPTIONS = [
    (name, option) for name, cls in objectives().items() for option in cls.Options.model_fields
]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_changes_the_training_or_the_maps(name, option):
    usual = getattr(objective_class(name).Options(), option)
    other = "dot" if option == "similarity" else other_value(usual)
    finer = (name, option) == ("amvlm", "token_pixels")  # of the text masks alone
    case = (name, "stage1.options.text_mask=true") if finer else (name,)
    assert trace(case) != trace((*case, f"stage1.options.{option}={other}"))


def other_value(usual):
    """Another value that the option may take."""
    if isinstance(usual, bool):
        return not usual
    if isinstance(usual, str):
        return "sigmoid" if usual != "sigmoid" else "cosine"
    return usual // 2 if isinstance(usual, int) else usual / 2


def trace(case: tuple[str, ...]) -> list[float]:
    """The losses of some steps, past MGCA's first epoch, and the mean maps after them."""
    schema = schema_of(3)
    module, batch, found = make(case, schema), make_batch(schema), []
    for step in range(1, 5):
        torch.manual_seed(step)
        losses = module.losses(batch)
        found += [loss.item() for loss in losses.values()]
        module.zero_grad()
        sum(losses.values()).backward()
        with torch.no_grad():
            for parameter in module.trained():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad.clamp(-1, 1)
        module.after_step(step)
    with torch.inference_mode():
        soft, _ = module.eval().class_map(batch.images, module.vectors())
    return [*found, *soft.flatten(2).mean(dim=(0, 2)).tolist()]
