"""Measuring a model and writing its card beside its weights."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CPS4Core.config import load_config, preset_names
from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path, make_folder, read_json, write_json, write_text
from CPS4Core.inference.segment import Options
from CPS4Core.model_card.measure import (
    ORIGINAL,
    Measured,
    held_out_cases,
    measure_cases,
    measure_phantoms,
    measure_unlabelled,
    summary,
)
from CPS4Core.model_card.text import card_text
from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study

CARD, PICTURES = "README.md", "pictures"
PICTURE_WIDTH, PICTURE_COLORS = 900, 96


@dataclass(frozen=True)
class CardOptions:
    """What is measured: the study's part, how many phantoms, a volume without sacrum. `note` is a
    sentence about the data that the study's files do not say."""

    split: str = "test"
    phantoms: int = 6
    no_anchor: Path | None = None
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    levels: str | None = None
    note: str = ""


def write_card(
    info: ModelInfo, study: Study, output: Path, options: CardOptions, progress: Progress
) -> Path:
    """Measure a model and write README.md, pictures and the metrics into its folder.

    Changed copies, predictions and scores stay in `output`, a copy of the card too. Raises
    CPS4Error where the model learned from a case of the part, or its folder cannot be written.
    """
    cases = held_out_cases(info, study, options.split)
    make_folder(output)
    if output.resolve() == info.folder.resolve():
        raise CPS4Error("The output is the model's folder", path=output, cure="Choose another")
    run = Options(
        device=options.device,
        engine=options.engine,
        threads=options.threads,
        overwrite=True,
        levels=options.levels,
    )
    measured = list(measure_cases(info, study, cases, output, run, progress))
    if options.no_anchor is not None:
        measured.append(measure_unlabelled(info, options.no_anchor, output, run, progress))
    if options.phantoms:
        measured.append(measure_phantoms(info, study, options.phantoms, output, run, progress))
    pictures = _pictures(measured, info.folder / PICTURES)
    commands = card_commands(info, study, options)
    text = card_text(info, study, options.split, measured, pictures, commands, options.note)
    write_json(output / "card.json", summary(measured))
    write_text(info.folder / CARD, text)
    write_text(output / "MODEL_CARD.md", text)
    _keep_metrics(info, measured, options.split)
    return info.folder / CARD


def _pictures(measured: list[Measured], folder: Path) -> dict[str, str]:
    """Small QC pictures of the best and the worst case, and of the volume without sacrum."""
    first = measured[0]
    ranked = sorted(first.cases, key=lambda c: first.cases[c]["dice"] or 0, reverse=True)
    wanted = {
        f"{first.name}, {c}": first.pictures[c] for c in dict.fromkeys((ranked[0], ranked[-1]))
    }
    for m in measured[1:]:
        if m.name == "no-anchor":
            wanted |= {f"{m.what}, {case}": path for case, path in m.pictures.items()}
    found = {}
    for caption, path in wanted.items():
        if path.is_file():
            _shrink(path, folder / path.name)
            found[caption] = f"{folder.name}/{path.name}"
    return found


def _shrink(source: Path, target: Path) -> None:
    from PIL import Image

    with Image.open(source) as picture, atomic_path(target) as temporary:
        height = round(picture.height * PICTURE_WIDTH / picture.width)
        small = picture.convert("RGB").resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
        small.quantize(PICTURE_COLORS).save(temporary, "PNG", optimize=True)


def card_commands(info: ModelInfo, study: Study, options: CardOptions) -> list[str]:
    """What was run, with the names of folders and without the machine's paths."""
    name, data = info.name, study.folder.resolve().name
    card = ["cps4", "model", "card", name, data, "--output", "card", "--split", options.split]
    card += ["--phantoms", str(options.phantoms)]
    levels = ["--levels", options.levels] if options.levels else []
    if options.no_anchor is not None:
        card += ["--no-anchor", options.no_anchor.name]
    folder = f"card/{ORIGINAL}"
    return [
        "# the training, before `cps4 model export`:",
        shlex.join(_training(info)),
        "# the measurement:",
        shlex.join([*card, *levels]),
        "# which does for the cases, each changed copy of them and the phantoms:",
        shlex.join(
            ["cps4", "segment", "IMAGES", "--model", name, "-o", f"{folder}/predictions", *levels]
        ),
        f"cps4 evaluate {folder}/predictions LABELS --no-distances --output {folder}/scores",
    ]


def _training(info: ModelInfo) -> list[str]:
    """The command that trains such a model: the preset and each option that differs from it."""
    known = info.provenance
    command = ["cps4", "train", info.data, "--preset", info.config.name]
    for option, key in (
        ("--labelled", "labelled_option"),
        ("--order", "order"),
        ("--seed", "seed"),
    ):
        if key in known:
            command += [option, str(known[key])]
    if initial := known.get("initial"):
        command += ["--from", initial["name"]]
    if info.config.name in preset_names():
        preset = dict(_options(load_config(info.config.name).model_dump(mode="json")))
        for option, value in _options(info.config.model_dump(mode="json")):
            if preset.get(option) != value:
                command += ["--set", f"{option}={json.dumps(value)}"]
    return [*command, "--output", "RUN"]


def _options(content: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _options(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _keep_metrics(info: ModelInfo, measured: list[Measured], split: str) -> None:
    path = info.folder / "model.json"
    content = read_json(path, "description of the model")
    found = summary(measured)
    for name, values in found.items():
        if name != "phantoms":
            values["what"] = f"{split} cases {values['what']}"
    content["metrics"]["card"] = found
    write_json(path, content)
