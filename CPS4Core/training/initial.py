"""Starting from the weights of another model: what fits is taken over, what cannot fit is refused.

The weights are used at the beginning only: a resumed run goes on from its own checkpoint. Levels
are matched by name, so that a model of another schema gives its network and the head's rows of the
names that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from CPS4Core.config import Config
from CPS4Core.encoders.class_map import read_form
from CPS4Core.errors import CPS4Error
from CPS4Core.inference.fingerprint import input_fingerprint
from CPS4Core.model_folder import ModelInfo, load_weights
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.pretrain.objective import Objective
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.study.folder import Study, case_fingerprint
from CPS4Core.study.splits import Selection

NETWORK, VISION_LANGUAGE, TEXT = (
    "network.safetensors",
    "vision_language.safetensors",
    "text_encoder",
)


def check_not_held_out(info: ModelInfo, study: Study, selection: Selection) -> None:
    """Refuse a model that has seen what this study holds out.

    No validation or test case may have taught with its label, and by no test case may the model's
    best epoch have been chosen. Images are compared by content, so that another name hides nothing.
    Raises CPS4Error naming this study's cases.
    """
    taught, chosen = (
        set(seen_images(info.provenance, part)) for part in ("labelled", "validation")
    )

    def among(cases: tuple[str, ...], seen: set[str]) -> list[str]:
        return [c for c in cases if case_fingerprint(study.cases[c].image) in seen]

    leaked = sorted({*among((*selection.val, *selection.test), taught)})
    leaked += [c for c in among(selection.test, chosen) if c not in leaked]
    if leaked:
        raise CPS4Error(
            f"The initial model has seen labels of held-out cases: {', '.join(leaked)}",
            path=info.folder,
            cure="Start from another model, or move these cases to the training part",
        )


def initial_provenance(info: ModelInfo) -> dict[str, Any]:
    """What a run keeps of the model it started from, that model's own beginning included."""
    kept = ("study", "licence", "labelled", "validation", "phantoms", "pretrained", "initial")
    return {
        "name": info.name,
        "method": info.method,
        "fingerprint": weights_fingerprint(info),
        **{key: info.provenance[key] for key in kept if key in info.provenance},
    }


def weights_fingerprint(info: ModelInfo) -> str:
    """Names the weights of a model, of stage 1 alone too."""
    files = [info.folder / name for name in (NETWORK, VISION_LANGUAGE)]
    return "-".join(input_fingerprint(path) for path in files if path.is_file())


def start_network(
    network: ResUNet, config: Config, schema: LabelSchema, info: ModelInfo, report: Progress
) -> None:
    """Give `network` the weights of a model of the same architecture; the head by class names.

    Raises CPS4Error where the architecture differs or the model has no network.
    """
    path = info.folder / NETWORK
    if not path.is_file():
        raise CPS4Error(
            "The initial model has no segmentation network, stage 1 only",
            path=info.folder,
            cure="Use it with --pretrained, or start from a model of cps4 train",
        )
    weights, own = load_weights(path), network.state_dict()
    head = {name: weights.pop(name) for name in ("head.weight", "head.bias") if name in weights}
    body = {name: tensor.shape for name, tensor in own.items() if not name.startswith("head.")}
    same = body == {name: tensor.shape for name, tensor in weights.items()}
    widths = info.config.network.widths
    if not same or len(head) != 2 or head["head.weight"].shape[1:] != own["head.weight"].shape[1:]:
        raise CPS4Error(
            f"The initial model has another network: widths {widths}",
            path=info.folder,
            cure=f"Train with --set network.widths={widths}, or start from another model",
        )
    normalise = info.config.network.normalise
    if normalise != config.network.normalise:
        raise CPS4Error(
            f"The initial model normalises its images otherwise: {normalise}",
            path=info.folder,
            cure=f"Train with --set network.normalise={normalise}, or start from another model",
        )
    given = _by_name(info.schema)
    shared = {i: given[name] for name, i in _by_name(schema).items() if name in given}
    with torch.no_grad():
        for name, tensor in head.items():
            rows = own[name].clone()
            for here, there in shared.items():
                rows[here] = tensor[there]
            weights[name] = rows
    network.load_state_dict(weights)
    new = [n for i, n in enumerate(schema.class_names) if i not in shared]
    report.message(f"The network starts from the model {info.name}")
    if new:
        report.message(
            f"The head begins anew for what that model has no name for: {', '.join(new)}",
            "warning",
        )


def start_pretraining(module: Objective, config: Config, info: ModelInfo, report: Progress) -> None:
    """Give stage 1 the encoders of a model that has them in the same architecture.

    A model without its text encoder, or with another vocabulary, leaves the text encoder new.
    Raises CPS4Error where the input or an encoder's architecture differs.
    """
    path = info.folder / VISION_LANGUAGE
    if not path.is_file():
        report.message(f"The model {info.name} has no prompts: stage 1 begins anew", "warning")
        return
    theirs, ours = (_architecture(c) for c in (info.config, config))
    different = [name for name, value in ours.items() if theirs[name] != value]
    if read_form(info.folder) != module.class_map.form:
        different.append("class map")
    if different:
        raise CPS4Error(
            f"The initial model's prompts have another {', '.join(different)}",
            path=info.folder,
            cure="Train with that configuration, or start from another model",
        )
    try:
        module.class_map.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise CPS4Error("The initial model's encoders do not fit", path=path) from error
    report.message(f"The prompts' encoders start from the model {info.name}")
    if not _start_text(module, info):
        report.message(
            "The text encoder begins anew: the model was saved without one, or its words differ",
            "warning",
        )


def _start_text(module: Objective, info: ModelInfo) -> bool:
    path = info.folder / TEXT / "model.safetensors"
    if not path.is_file():
        return False
    from CPS4Core.encoders.text import load_text_encoder

    saved = load_text_encoder(info.folder / TEXT, module.text.prompt_token)
    if saved.tokenizer.get_vocab() != module.text.tokenizer.get_vocab():
        return False
    module.text.model.load_state_dict(saved.model.state_dict())
    return True


def _architecture(config: Config) -> dict[str, Any]:
    options = config.vision_language
    # Where the weights once came from does not matter: the initial model's take their place.
    vision = options.vision.model_dump(exclude={"name", "pretrained"})
    text = options.text.model_dump(exclude={"name"})
    return {
        "input": config.input.model_dump(),
        "vision encoder": vision,
        "text encoder": text,
        "projection": options.projection,
        "normalisation": options.normalise,
    }


def _by_name(schema: LabelSchema) -> dict[str, int]:
    return {"": 0} | {s.name.lower(): i for i, s in enumerate(schema.structures, start=1)}


def seen_images(provenance: Mapping[str, Any], part: str) -> Iterator[str]:
    """Fingerprints of a part's images, of the models before too."""
    for case in provenance.get(part, []):
        yield case["image"]
    for before in ("pretrained", "initial"):
        if provenance.get(before):
            yield from seen_images(provenance[before], part)
