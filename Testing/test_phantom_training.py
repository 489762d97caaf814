"""Varied phantoms as additional labelled slices, and labels that do not know every structure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from test_training import StopAfter, make_run, one_thread, rows_of, study  # noqa: F401
from tiny_study import tiny_config

from CPS4Core.config import PhantomsConfig
from CPS4Core.errors import Cancelled
from CPS4Core.methods.method import cross_entropy
from CPS4Core.model_folder import load_weights
from CPS4Core.phantom import make_phantom, variety, write_phantom_study
from CPS4Core.phantom import study as phantom_study
from CPS4Core.phantom.variety import make_varied_phantom
from CPS4Core.pretrain.losses import background_or_hidden, pixel_attention_loss
from CPS4Core.pretrain.targets import make_targets
from CPS4Core.progress import Progress
from CPS4Core.schema import IGNORE_INDEX, LabelSchema, Structure, built_in_schema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.slices.phantoms import cache_phantoms
from CPS4Core.training.batches import PhantomSlices, SliceBatches
from CPS4Core.training.partial_labels import hiding_places
from CPS4Core.training.run import Run

ORDERED = LabelSchema(
    "ordered",
    tuple(Structure(i, f"s{i}", f"level {i}", (1, 2, 3), "vertebra", order=i) for i in range(1, 5)),
)
SCHEMA = built_in_schema("mrspineseg")
S = SCHEMA.index_of("S")
PHANTOMS = ("phantoms.count=2", "phantoms.share=0.5")


SEEDS = (3, 2, 4, 8)


@pytest.fixture(scope="module")
def varied() -> list[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    """Image, labels and spacing of some phantoms."""
    found = []
    for seed in SEEDS:
        image, label = make_varied_phantom(seed)
        arrays = (sitk.GetArrayFromImage(v) for v in (image, label))
        found.append((*arrays, image.GetSpacing()))
    return found


def test_same_seed_same_varied_phantom(varied):
    again = make_varied_phantom(SEEDS[0])
    for one, two in zip(varied[0], again, strict=False):
        assert np.array_equal(one, sitk.GetArrayFromImage(two))
    assert len({spacing for _, _, spacing in varied}) == len(varied)


def test_fields_of_view_differ_with_and_without_sacrum(varied):
    heights = [image.shape[1] * spacing[0] for image, _, spacing in varied]
    assert max(heights) > 1.5 * min(heights)
    shown = [bool((label == SCHEMA.structures[S - 1].value).any()) for _, label, _ in varied]
    assert any(shown) and not all(shown)
    assert all((label > 0).any() for _, label, _ in varied)
    between = [spacing[2] for _, _, spacing in varied]
    assert min(between) < 3 < 4 < max(between)


def test_contrasts_differ(varied):
    """Bone is darker than half the bright end in T2 and brighter than discs in T1-like scans."""
    discs = {s.value for s in SCHEMA.structures if s.kind == "disc"}
    bones = {s.value for s in SCHEMA.structures if s.kind == "vertebra"}
    ratios = []
    for image, label, _ in varied:
        bone, disc = (np.median(image[np.isin(label, list(v))]) for v in (bones, discs))
        ratios.append(float(disc / bone))
    assert min(ratios) < 0.6 and max(ratios) > 1


def made_cases(count: int, shown: list[int], slices: int = 4) -> list[CachedCase]:
    labels = np.zeros((slices, 8, 8), np.uint8)
    labels[:, 2:6, 2:6] = np.array(shown, np.uint8)[np.arange(slices) % len(shown), None, None]
    images = np.full(labels.shape, 100, np.uint8)
    return [
        CachedCase(f"{shown[0]}_{i}", images, labels, (1, 1, 1), (0, 0, 8, 8)) for i in range(count)
    ]


def batches(share: float, partial: str = "marginal") -> SliceBatches:
    real, made = made_cases(2, [2, 3]), made_cases(3, [1, 2])
    options = PhantomsConfig(count=3, share=share, partial_labels=partial)
    config = tiny_config("augmentation.shift=0", "augmentation.rotation=0")
    phantoms = PhantomSlices(made, options, real, ORDERED)
    return SliceBatches(
        real, [], (4, 0), 3, config.augmentation, 0, torch.device("cpu"), phantoms=phantoms
    )


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_a_batch_has_the_share_of_phantoms_that_was_asked_for(share, expected):
    for batch in batches(share).epoch(0):
        assert len(batch.images) == len(batch.labels) == 4
        # Class 1 may hide in real slices and class 3 in phantoms: so the rows tell their source.
        hidden = torch.zeros(4, 5, dtype=torch.bool)
        if batch.hidden is not None:
            hidden = batch.hidden.flatten(2).any(dim=2)
        made = int(hidden[:, 3].sum())
        assert made == expected
        if made:
            assert hidden[: 4 - made].tolist() == [[False, True, False, False, False]] * (4 - made)
            assert not (batch.labels[: 4 - made] == 1).any()
            assert not (batch.labels[4 - made :] == 3).any()


@pytest.mark.parametrize(("real", "expected"), [(1, 5), (2, 4), (5, 3), (10, 2), (500, 1)])
def test_phantoms_worth_five_cases_step_back_where_more_are_labelled(real, expected):
    options = PhantomsConfig(count=3, share=None, worth=5)
    slices = PhantomSlices(made_cases(3, [1, 2]), options, made_cases(real, [2, 3]), ORDERED)
    assert slices.count(6) == expected
    assert slices.marginal
    assert PhantomSlices([], options, made_cases(real, [2, 3]), ORDERED).count(6) == 0


def test_phantoms_never_take_a_whole_batch_by_their_worth():
    options = PhantomsConfig(count=3, share=None, worth=1000)
    slices = PhantomSlices(made_cases(3, [1, 2]), options, made_cases(1, [2, 3]), ORDERED)
    assert slices.count(6) == 5


def test_plain_background_on_request():
    assert all(batch.hidden is None for batch in batches(0.5, "background").epoch(0))


def test_slices_of_phantoms_without_spine_are_rare():
    labels = np.zeros((32, 8, 8), np.uint8)
    labels[:4, 2:4, 2:4] = 1
    case = CachedCase("p", labels, labels, (1, 1, 1), (0, 0, *labels.shape[1:]))
    slices = PhantomSlices([case], PhantomsConfig(count=1), [case], ORDERED).pool.slices
    shown = [s for _, s in slices]
    assert shown[:4] == [0, 1, 2, 3] and 1 <= len(shown) - 4 <= 4


def gradient(target: int, hidden: list[int]) -> list[float]:
    """Of one pixel's loss by the logits of four classes of equal probability."""
    logits = torch.zeros(1, 4, 1, 1, requires_grad=True)
    may = torch.zeros(1, 4, 1, 1, dtype=torch.bool)
    may[0, hidden] = True
    cross_entropy(logits, torch.full((1, 1, 1), target), may).backward()
    return logits.grad.flatten().tolist()


def test_background_that_may_hide_a_class_raises_both_and_pushes_neither_down():
    # -log(p_0 + p_1): by z_0 it is p_0 - p_0 / (p_0 + p_1) = 1/4 - 1/2.
    assert gradient(0, [1]) == pytest.approx([-0.25, -0.25, 0.25, 0.25])
    assert gradient(0, []) == pytest.approx([-0.75, 0.25, 0.25, 0.25])


def test_other_pixels_are_taught_as_before():
    assert gradient(2, [1]) == pytest.approx([0.25, 0.25, -0.75, 0.25])
    assert gradient(1, [1]) == pytest.approx([0.25, -0.75, 0.25, 0.25])
    assert gradient(IGNORE_INDEX, [1]) == [0, 0, 0, 0]


def test_without_hidden_classes_it_is_the_plain_cross_entropy():
    logits = torch.randn(2, 5, 6, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 5, (2, 6, 4), generator=torch.Generator().manual_seed(1))
    target[0, 0] = IGNORE_INDEX
    none = torch.zeros(2, 5, 6, 4, dtype=torch.bool)
    assert torch.allclose(cross_entropy(logits, target), cross_entropy(logits, target, none))


def test_the_sacrum_hides_below_the_lowest_disc_and_nowhere_else():
    labels = torch.zeros(2, 20, 20, dtype=torch.long)
    labels[0, 2:8, 8:12] = SCHEMA.index_of("L5")
    labels[0, 8:10, 8:12] = SCHEMA.index_of("L5/S")
    hidden = torch.zeros(2, SCHEMA.class_count, dtype=torch.bool)
    hidden[:, S] = True
    places = hiding_places(labels, hidden, SCHEMA)
    assert not places[1].any()  # no structure: nothing hides
    assert not places[0, [c for c in range(SCHEMA.class_count) if c != S]].any()
    rows, cols = torch.nonzero(places[0, S], as_tuple=True)
    assert (rows.min(), rows.max()) == (8, 19)  # from the disc downwards
    assert 6 < cols.min() <= 8 and cols.max() > 15  # from its front backwards


@pytest.mark.parametrize("suppress", [False, True])
def test_a_prompt_on_real_background_is_not_suppressed_by_stage_1(suppress):
    """Two patches of background; class 1 fires on the second one, where it may be unlabelled."""
    logits = torch.tensor([[[[2.0, -2.0]], [[-2.0, 2.0]], [[-1.0, -1.0]]]], requires_grad=True)
    log = torch.nn.functional.logsigmoid
    hidden = torch.tensor([[False, True, False]])
    targets = make_targets(torch.zeros(1, 8, 16, dtype=torch.long), 3, (1, 2), "any", True)
    pair = background_or_hidden(log(logits), log(-logits), hidden)
    pixel_attention_loss(*pair, targets, suppress, hidden).backward()
    background, sacrum, other = logits.grad[0, :, 0]
    assert (sacrum <= 0).all() and sacrum[1] < 0  # it counts as the background's there
    assert background[0] < 0 and background[1] == 0
    assert (other > 0).all() == suppress


def cache(folder: Path, progress: Progress | None = None, schema: LabelSchema = SCHEMA, **options):
    return cache_phantoms(
        PhantomsConfig(**({"count": 1} | options)), schema, tiny_config().input, folder, progress
    )


def test_phantoms_are_made_once(tmp_path):
    events = []

    class Listening(Progress):
        def emit(self, event):
            events.append(event)

    first = cache(tmp_path, Listening())
    assert [e["step"] for e in events if e["event"] == "step"] == [1]
    assert first[0].images.shape[1:] == first[0].labels.shape[1:] == (40, 32)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    cache(tmp_path)
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    other = cache(tmp_path, seed=1)
    assert other[0].images.shape != first[0].images.shape or not np.array_equal(
        other[0].images, first[0].images
    )


def test_training_makes_no_spine_of_a_phantom_study_with_the_same_seed(tmp_path, monkeypatch):
    seeds: dict[str, set[int]] = {"study": set(), "training": set()}

    def recorded(kind, make):
        return lambda seed, *rest, **named: (
            seeds[kind].add(seed) or make(seed, *rest, **named)  # type: ignore[func-returns-value]
        )

    monkeypatch.setattr(phantom_study, "make_phantom", recorded("study", make_phantom))
    monkeypatch.setattr(variety, "make_varied_phantom", recorded("training", make_varied_phantom))
    counts = {"labelled": 2, "unlabelled": 0, "val": 1, "test": 1}
    write_phantom_study(tmp_path / "study", **counts, size=64, seed=3, slices=3)
    cache(tmp_path / "cache", count=4, seed=3)
    assert len(seeds["study"]) == len(seeds["training"]) == 4
    assert not seeds["study"] & seeds["training"]


def test_a_study_of_other_structures_goes_without_them(tmp_path):
    schema = LabelSchema("hand", (Structure(1, "thumb", "thumb", (1, 2, 3), "other", order=0),))
    assert cache(tmp_path, schema=schema) == []


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_resumed_run_with_phantoms_equals_the_unbroken_one(study, tmp_path, shared_cache):  # noqa: F811
    options = (*PHANTOMS, "stage1.epochs=2", "stage2.epochs=2")

    def run(name: str) -> Run:
        return make_run(study, tmp_path / name, *options, cache=shared_cache)

    whole = run("whole").stage2(Progress())
    with pytest.raises(Cancelled):
        run("broken").stage2(StopAfter("stage 1", 1))
    with pytest.raises(Cancelled):
        run("broken").stage2(StopAfter("stage 2", 1))
    broken = run("broken").stage2(Progress())
    for name in ("network.safetensors", "vision_language.safetensors"):
        ours, theirs = (load_weights(i.folder / name) for i in (whole, broken))
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    for stage in ("stage1", "stage2"):
        assert rows_of(tmp_path / "whole" / stage) == rows_of(tmp_path / "broken" / stage)
    model = json.loads((whole.folder / "model.json").read_text())
    assert model["provenance"]["phantoms"]["count"] == 2
    assert model["provenance"]["phantoms"]["seed"] == 0
    described = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert described["config"]["phantoms"]["count"] == 2


def test_phantoms_change_the_training(study, tmp_path, shared_cache):  # noqa: F811
    found = []
    for name, options in (("with", PHANTOMS), ("without", ())):
        options = ("stage2.method=labelled-only", *options)
        run = make_run(study, tmp_path / name, *options, cache=shared_cache)
        found.append(load_weights(run.stage2(Progress()).folder / "network.safetensors"))
    assert any(not torch.equal(found[0][k], found[1][k]) for k in found[0])
