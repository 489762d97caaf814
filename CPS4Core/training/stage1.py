"""Running stage 1: from labelled slices to a model folder that holds the vision-language half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from CPS4Core.config import Config
from CPS4Core.device import Precision
from CPS4Core.encoders.class_maps import make_class_map
from CPS4Core.encoders.text import make_text_encoder
from CPS4Core.model_folder import ModelInfo, new_model_folder, save_tensors, write_description
from CPS4Core.pretrain.objective import Objective, objective_class
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.integration import prompt_maps
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase
from CPS4Core.training import processes
from CPS4Core.training.batches import PhantomSlices, SliceBatches
from CPS4Core.training.loop import Plan, TrainingLoop, is_begun
from CPS4Core.training.partial_labels import shown_classes
from CPS4Core.training.validation import validate_slices


def run_stage1(
    config: Config,
    schema: LabelSchema,
    labelled: list[CachedCase],
    val: list[CachedCase],
    seed: int,
    precision: Precision,
    folder: Path,
    provenance: dict[str, Any],
    progress: Progress,
    phantoms: Sequence[CachedCase] = (),
    start: Callable[[Objective], None] | None = None,
) -> ModelInfo:
    """Train both encoders on labelled slices and phantoms; writes `folder/model` and returns it.

    `start` gives them their first weights where these are not to be the configuration's.
    """
    torch.manual_seed(seed)
    module = make_pretraining(config, schema).to(precision.device)
    if start is not None and not is_begun(folder):
        start(module)
        module.started()
    options = config.stage1
    optimiser = torch.optim.Adam(module.trained(), lr=options.learning_rate)
    phantom_slices = PhantomSlices(phantoms, config.phantoms, labelled, schema)
    batches = SliceBatches(
        labelled,
        [],
        (options.batch, 0),
        options.iterations_per_epoch,
        config.augmentation,
        processes.own_seed(seed),
        precision.device,
        phantoms=phantom_slices,
    )
    trained = shown_classes([*labelled, *phantoms], schema.class_count)

    def validate() -> dict[str, float]:
        vectors, may_appear = module.vectors(), trained.to(precision.device)

        def label(images: torch.Tensor) -> torch.Tensor:
            soft, cosines = module.class_map(images, vectors)
            return prompt_maps(soft, cosines, config.input.size, config.maps, may_appear).integrated

        hidden = phantom_slices.hidden[0]
        return validate_slices(label, val, schema, precision.device, hidden)

    loop = TrainingLoop(
        module,
        Plan(options.epochs, options.validate_every, optimiser, _schedule(config, optimiser), seed),
        batches.epoch,
        validate,
        lambda: dict(module.state_dict()),
        precision,
        folder,
        "stage 1 (prompts)",
        progress,
    )
    progress.message(f"{module.name}: {module.cost} a step")
    best = loop.run()
    module.load_state_dict(best["tensors"])
    info = ModelInfo(
        folder=folder / "model",
        config=config,
        schema=schema,
        method="pretrained-prompts",
        encoder_weights=encoder_weights(config, provenance),
        provenance=provenance,
        metrics={
            "stage1": {
                "objective": module.name,
                "epoch": best["epoch"],
                "validation": best["validation"],
            }
        },
    )
    if processes.is_first():
        _save(module.eval(), info, trained)
    processes.wait_for_all()
    return info


def make_pretraining(config: Config, schema: LabelSchema) -> Objective:
    """The objective on new encoders: pretrained or random as the configuration says."""
    options, cls = config.vision_language, objective_class(config.stage1.objective)
    text = make_text_encoder(options.text, schema.prompts, options.prompt_token)
    form = cls.form(config)
    class_map = make_class_map(form, options, config.input.size, text.width)
    return cls(class_map, text, schema, config.stage1)


def encoder_weights(config: Config, provenance: dict[str, Any]) -> str:
    """Which weights the encoders start from, for results and reports."""
    initial = provenance.get("initial")
    before = f"; then from the model {initial['name']}" if initial else ""
    vision, text = config.vision_language.vision, config.vision_language.text
    pretrained = vision.kind == "timm" and vision.pretrained
    first = f"pretrained {Path(vision.name).name}" if pretrained else "random weights"
    second = (
        f"pretrained {Path(text.name).name}" if text.kind == "transformers" else "random weights"
    )
    return f"vision: {vision.kind}, {first}; text: {text.kind}, {second}{before}"


def _schedule(config: Config, optimiser: torch.optim.Optimizer) -> Any:
    options = config.stage1
    if options.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, "min", factor=options.plateau_factor, patience=options.plateau_patience
        )
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=options.epochs + 1, pct_start=0.1
    )


def _save(module: Objective, info: ModelInfo, trained: torch.Tensor) -> None:
    with new_model_folder(info.folder) as folder, torch.inference_mode():
        save_tensors(dict(module.class_map.state_dict()), folder / "vision_language.safetensors")
        module.class_map.form.write(folder)
        vectors = {"vectors": module.vectors(), "trained": trained.to(torch.uint8)}
        save_tensors(vectors, folder / "text_vectors.safetensors")
        module.text.save(folder / "text_encoder")
        write_description(folder, info)
