"""Running stage 2: a semi-supervised method on labelled and unlabelled slices."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from CPS4Core.config import Config
from CPS4Core.device import Precision
from CPS4Core.errors import CPS4Error
from CPS4Core.methods.method import Method, method_class
from CPS4Core.model_folder import (
    ModelInfo,
    make_network,
    new_model_folder,
    save_tensors,
    write_description,
)
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.integration import prompt_maps
from CPS4Core.prompt_maps.model import load_prompt_attention, trained_classes, trained_vectors
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.training import processes
from CPS4Core.training.batches import CaseMaps, PhantomSlices, SliceBatches
from CPS4Core.training.decoded_labels import DecodedLabels
from CPS4Core.training.loop import Plan, TrainingLoop, is_begun
from CPS4Core.training.validation import validate_slices
from CPS4Core.training.warmup import go_on_from

_AT_ONCE = 8
"""Slices in a pass of the vision encoder."""


def run_stage2(
    config: Config,
    schema: LabelSchema,
    labelled: list[CachedCase],
    unlabelled: list[CachedCase],
    val: list[CachedCase],
    pretrained: ModelInfo | None,
    seed: int,
    precision: Precision,
    folder: Path,
    model_folder: Path,
    provenance: dict[str, Any],
    progress: Progress,
    phantoms: Sequence[CachedCase] = (),
    start: Callable[[ResUNet], None] | None = None,
    warmed_up: Path | None = None,
    warmup_only: bool = False,
) -> ModelInfo | None:
    """Train the configured method; writes `model_folder` and returns what it is.

    `pretrained` is stage 1's model, needed by methods that use prompt maps. `start` gives the
    network its first weights where these are not to be random. `warmed_up` is the run whose warm-up
    this one goes on from. With `warmup_only` the training ends where the unlabelled slices would
    begin to teach, for other runs to go on from, and there is no model: None.
    """
    cls, options = method_class(config.stage2.method), config.stage2
    if cls.needs_unlabelled and not unlabelled:
        raise CPS4Error(
            f"The method '{cls.name}' needs unlabelled training cases and the study has none",
            cure="Add images without labels, label fewer cases with --labelled, or train with "
            "--method labelled-only",
        )
    maps = None
    if cls.needs_prompt_maps and not warmup_only:
        if pretrained is None:
            raise CPS4Error(f"The method '{cls.name}' needs stage 1; run cps4 pretrain first")
        maps = case_maps(pretrained, config, unlabelled, precision.device, progress)
    torch.manual_seed(seed)
    network = make_network(config, schema).to(precision.device)
    if start is not None and not is_begun(folder):
        start(network)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method = cls(network, schema, options)
    if cls.needs_unlabelled and options.pseudo_labels == "decoded" and not cls.uses_decoded:
        progress.message(f"{cls.name} labels by its own rule: stage2.pseudo_labels is not used")
    decoded = None
    if cls.uses_decoded and options.pseudo_labels == "decoded":
        decoded = DecodedLabels(
            unlabelled,
            maps,
            method.teacher_logits,
            schema,
            options,
            precision,
            folder / "decoded.safetensors",
            progress,
        )
    phantom_slices = PhantomSlices(phantoms, config.phantoms, labelled, schema)
    batches = SliceBatches(
        labelled,
        unlabelled if cls.needs_unlabelled else [],
        (options.labelled_batch, options.unlabelled_batch),
        options.iterations_per_epoch,
        config.augmentation,
        processes.own_seed(seed),
        precision.device,
        maps,
        phantom_slices,
        decoded.at if decoded else None,
        options.warmup_epochs,
    )
    optimiser = torch.optim.Adam(
        method.trained(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser,
        [max(1, round(share * options.epochs)) for share in options.milestones],
        gamma=options.milestone_factor,
    )

    def validate() -> dict[str, float]:
        found = method.inference_network().eval()
        hidden = phantom_slices.hidden[0]
        return validate_slices(
            lambda x: found(x).argmax(dim=1), val, schema, precision.device, hidden
        )

    loop = TrainingLoop(
        method,
        Plan(
            options.epochs,
            options.validate_every,
            optimiser,
            schedule,
            seed,
            options.warmup_epochs if warmup_only else None,
        ),
        batches.epoch,
        validate,
        lambda: dict(method.inference_network().state_dict()),
        precision,
        folder,
        f"stage 2 ({cls.name})",
        progress,
        method.updates,
    )
    if warmed_up is not None and not is_begun(folder):
        go_on_from(warmed_up, loop, method)
    progress.message(f"{cls.name}: {cls.cost} a step, {options.total_steps} steps")
    best = loop.run()
    if warmup_only:
        return None
    info = ModelInfo(
        folder=model_folder,
        config=config,
        schema=schema,
        method=cls.name,
        encoder_weights=pretrained.encoder_weights if pretrained else "no encoders used",
        provenance=provenance,
        metrics={
            **(pretrained.metrics if pretrained else {}),
            "stage2": {
                "epoch": best["epoch"],
                "validation": best["validation"],
                "cost": cost_of(method),
            },
        },
    )
    if processes.is_first():
        _save(best["tensors"], info, pretrained)
    processes.wait_for_all()
    return info


def _save(tensors: dict[str, Tensor], info: ModelInfo, pretrained: ModelInfo | None) -> None:
    """Write the model folder: the network, and what stage 1 made."""
    with new_model_folder(info.folder) as target:
        if pretrained is not None:
            shutil.copytree(
                pretrained.folder,
                target,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("model.json"),
            )
        save_tensors(tensors, target / "network.safetensors")
        write_description(target, info)


def cost_of(method: Method) -> dict[str, int]:
    """What the training cost: steps, updates and passes a step, numbers trained and in use."""
    used = method.inference_network().parameters()
    return {
        "steps": method.options.total_steps,
        **asdict(method.cost),
        "trained_parameters": sum(p.numel() for p in method.trained()),
        "inference_parameters": sum(p.numel() for p in used),
    }


@torch.inference_mode()
def case_maps(
    pretrained: ModelInfo,
    config: Config,
    cases: list[CachedCase],
    device: torch.device,
    progress: Progress,
) -> dict[str, CaseMaps]:
    """The integrated and soft prompt maps of every unlabelled slice, made once."""
    attention = load_prompt_attention(pretrained).to(device)
    vectors = trained_vectors(pretrained).to(device)
    trained = trained_classes(pretrained).to(device)
    found: dict[str, CaseMaps] = {}
    for case in progress.track(cases, "prompt maps of the unlabelled cases"):
        text, kept = [], []
        for start in range(0, len(case.images), _AT_ONCE):
            images = np.array(case.images[start : start + _AT_ONCE])
            batch = torch.from_numpy(images)[:, None].to(device).float() / 255
            soft, cosines = attention(batch, vectors)
            found_maps = prompt_maps(soft, cosines, config.input.size, config.maps, trained)
            text.append(found_maps.integrated.to(torch.uint8).cpu().numpy())
            if config.maps.classes == "trained":
                soft = soft * trained[:, None, None]
            kept.append(soft.half().cpu().numpy())
        found[case.id] = CaseMaps(np.concatenate(text), np.concatenate(kept))
    return found
