"""Decoded pseudo-labels: what they teach, where they come from, and that their runs resume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from level_samples import Sample, sample, soft
from method_samples import make_batch, make_halfway
from tiny_study import tiny_config, write_tiny_study

from CPS4Core.device import choose_precision
from CPS4Core.errors import Cancelled
from CPS4Core.methods.agreed_tissue import agreed_tissue
from CPS4Core.methods.decoded_loss import decoded_loss
from CPS4Core.methods.method import methods
from CPS4Core.model_folder import load_weights
from CPS4Core.progress import Progress
from CPS4Core.schema import IGNORE_INDEX, built_in_schema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.study.folder import Study
from CPS4Core.training.batches import CaseMaps
from CPS4Core.training.decoded_labels import DecodedLabels
from CPS4Core.training.run import Run

SCHEMA = built_in_schema("mrspineseg")
S, L5, L4, DISC = (SCHEMA.index_of(name) for name in ("S", "L5", "L4", "L4/L5"))


def push_of(label: int, sure: bool, rule: str = "shape", hides: int | None = None) -> torch.Tensor:
    """How the loss of one pixel moves each class's logit up (> 0) or down."""
    logits = torch.zeros(1, SCHEMA.class_count, 1, 1, requires_grad=True)
    hidden = None
    if hides is not None:
        hidden = torch.zeros_like(logits, dtype=torch.bool)
        hidden[:, hides] = True
    truth = torch.tensor([[[label]]])
    decoded_loss(logits, truth, torch.tensor([[[sure]]]), SCHEMA, rule, hidden).backward()
    assert logits.grad is not None
    return -logits.grad[0, :, 0, 0]


def test_a_sure_level_teaches_its_own_class_alone():
    push = push_of(L5, sure=True)
    assert push[L5] > 0 and push[L4] < 0 and push[DISC] < 0 and push[0] < 0


def test_an_unsure_level_teaches_its_tissue_and_prefers_no_level():
    push = push_of(L5, sure=False)
    assert push[L5] > 0 and torch.isclose(push[L5], push[L4]) and push[DISC] < 0 and push[0] < 0


def test_background_that_may_hide_the_sacrum_does_not_teach_it_away():
    push = push_of(0, sure=True, hides=S)
    assert push[S] > 0 and torch.isclose(push[S], push[0]) and push[L5] < 0
    assert push_of(0, sure=True)[S] < 0
    assert torch.equal(push_of(L5, sure=True, hides=S), push_of(L5, sure=True))


@pytest.mark.parametrize(
    ("label", "sure", "rule"), [(L5, False, "ignore"), (IGNORE_INDEX, True, "shape")]
)
def test_what_is_ignored_teaches_nothing(label, sure, rule):
    assert not push_of(label, sure, rule).any()


def test_a_structure_teaches_where_the_teacher_sees_its_tissue_and_background_everywhere():
    labels = torch.tensor([[[L5, L5, L5, DISC, 0, IGNORE_INDEX]]])
    seen = torch.tensor([[[L5, L4, 0, L5, L5, L5]]])
    logits = 9.0 * torch.nn.functional.one_hot(seen, SCHEMA.class_count).movedim(-1, 1)
    found = agreed_tissue(labels, logits, SCHEMA)[0, 0].tolist()
    assert found == [L5, L5, IGNORE_INDEX, IGNORE_INDEX, 0, IGNORE_INDEX]
    # Half of the levels are as likely as the background: together they are the likelier tissue.
    vertebrae = SCHEMA.indices_of_kind("vertebra")
    doubtful = torch.full((1, SCHEMA.class_count, 1, 1), -9.0)
    doubtful[:, [0, *vertebrae[:4]]] = 1.0
    assert agreed_tissue(torch.tensor([[[L5]]]), doubtful, SCHEMA).item() == L5


@pytest.mark.parametrize("method", [name for name, m in methods().items() if m.uses_decoded])
def test_outlines_that_the_teacher_does_not_see_teach_only_by_the_found_order(method):
    def taught(outlines: str) -> float:
        made = make_halfway(method, SCHEMA, decoded_outlines=outlines)
        with torch.no_grad():
            made.teacher.head.bias[0] += 1000  # it sees background everywhere
        batch = make_batch(SCHEMA)
        batch.decoded = torch.full_like(batch.labels, L5)[: len(batch.unlabelled)]
        batch.level_sure = torch.ones_like(batch.decoded, dtype=torch.bool)
        losses = made.all_losses(batch)
        return losses["enhanced" if method == "cps4" else "decoded"].item()

    assert taught("order") > 0 and taught("agreed") == 0


def decoded_of(folder, spoiled: Sample, maps: np.ndarray | None = None, **options):
    """Decoded labels of one made volume, whose teacher answers with the sample's probabilities."""
    logits = torch.from_numpy(np.log(spoiled.maps + 1e-6))
    images = np.zeros(spoiled.truth.shape, np.uint8)
    content = (0, 0, *spoiled.truth.shape[1:])
    case = CachedCase("case", images, None, spoiled.spacing, content)
    chosen = {"pseudo_labels": "decoded", "warmup": 0.5, "epochs": 12, "decode_every": 3} | options
    stage2 = tiny_config().stage2.model_copy(update=chosen)
    calls = []

    def teacher(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        return logits

    text = None
    if maps is not None:
        text = {"case": CaseMaps(np.zeros_like(images), maps.astype(np.float16))}
    precision = choose_precision(torch.device("cpu"), "fp32")
    file = folder / "decoded.safetensors"
    found = DecodedLabels([case], text, teacher, SCHEMA, stage2, precision, file, Progress())
    return found, calls


def nameless(made: Sample) -> Sample:
    """The same shapes, every vertebra and every disc equally likely of every level."""
    maps = made.maps.copy()
    for kind in ("vertebra", "disc"):
        members = SCHEMA.indices_of_kind(kind)
        maps[:, members] = maps[:, members].mean(axis=1, keepdims=True)
    return replace(made, maps=maps)


def without_anchor(made: Sample) -> Sample:
    """Cut off above L5."""
    return made.cropped(slice(0, int(made.rows_of("L4")[-1])))


def test_wrong_names_in_a_row_become_one_order(tmp_path):
    """A teacher that calls L3 and L2 L4 as well teaches three different levels."""
    made = sample(1)
    found, _ = decoded_of(tmp_path, made.renamed({"L3": "L4", "L2": "L4"}))
    decoded = found.at(6)["case"]
    for level in ("L4", "L3", "L2"):
        inside = made.truth == made.index(level)
        assert np.mean(decoded.labels[inside] == made.index(level)) > 0.8, level
        assert decoded.level_sure[inside].mean() > 0.8


def test_levels_that_nothing_names_teach_their_shape_alone(tmp_path):
    found, _ = decoded_of(tmp_path, nameless(without_anchor(sample(1))))
    decoded = found.at(6)["case"]
    assert (decoded.labels > 0).any()
    assert not decoded.level_sure[decoded.labels > 0].any()
    assert decoded.level_sure[decoded.labels == 0].all()


def test_prompt_maps_take_part_in_the_order(tmp_path):
    """Where the teacher knows no level, the maps' names decide: here all one level too high."""
    made = without_anchor(sample(1))
    upwards = SCHEMA.ordered_indices()
    shifted = made.truth.copy()
    for lower, higher in zip(upwards, upwards[2:], strict=False):
        shifted[made.truth == lower] = higher
    made = replace(made, truth=shifted)
    maps = soft(shifted, SCHEMA.class_count)
    share = []
    for weight in (8.0, 0.0):
        found, _ = decoded_of(
            tmp_path / str(weight), nameless(made), maps, decoded_text_weight=weight
        )
        share.append(made.right(found.at(6)["case"].labels))
    assert share[0] > 0.9 and share[1] < 0.5


def test_decoded_only_when_it_is_time_and_kept_over_a_restart(tmp_path):
    made = sample(1)
    found, calls = decoded_of(tmp_path, made)
    assert found.at(5) is None and not calls  # still warming up
    first = found.at(6)["case"]
    found.at(7), found.at(8)
    assert len(calls) == 1
    again, new_calls = decoded_of(tmp_path, made)
    after = again.at(7)["case"]
    assert not new_calls and np.array_equal(first.labels, after.labels)
    assert np.array_equal(first.level_sure, after.level_sure)
    again.at(9)
    assert len(new_calls) == 1


@pytest.mark.parametrize("method", [name for name, m in methods().items() if m.uses_decoded])
def test_a_resumed_run_with_decoded_labels_equals_the_unbroken_one(tmp_path, method):
    class StopAfter(Progress):
        def emit(self, event):
            if event["event"] == "step" and "stage 2" in event["task"] and event["step"] == 3:
                self.cancel()

    study = Study.open(write_tiny_study(tmp_path / "study"))
    precision = choose_precision(torch.device("cpu"), "fp32")
    config = tiny_config(
        f"stage2.method={method}",
        "stage2.epochs=5",
        "stage2.warmup=0.4",
        "stage2.pseudo_labels=decoded",
        "stage2.decode_every=2",
    )

    def run(name: str) -> Run:
        return Run(tmp_path / name, study, config, "all", "0", 3, precision)

    whole = run("whole").stage2(Progress())
    with pytest.raises(Cancelled):
        run("broken").stage2(StopAfter())
    broken = run("broken").stage2(Progress())
    ours, theirs = (load_weights(i.folder / "network.safetensors") for i in (whole, broken))
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    log = (tmp_path / "whole" / "stage2" / "metrics.csv").read_text()
    assert ("loss/enhanced" if method == "cps4" else "loss/decoded") in log
