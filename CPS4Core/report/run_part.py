"""The report's part on a training run: what was trained on what, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.report.curves import curves_svg
from CPS4Core.report.html import Code, Facts, Figure, Fold, Section, Table, Text, svg_source
from CPS4Core.report.metrics_table import read_metrics

LOOKS_FOR = "a training run (run.json, stage1/metrics.csv, stage2/metrics.csv, model.json)"
STAGES = {
    "stage1": "Stage 1: prompts learn the structures",
    "stage2": "Stage 2: semi-supervised segmentation",
}
MODEL_PLACES = ("model", "stage1/model", ".")
WITH_DATA = {
    "labelled": "labelled cases",
    "unlabelled": "unlabelled cases",
    "validation": "validation cases",
}
PLAIN = {
    "study": "study",
    "licence": "licence of the data",
    "preset": "preset",
    "seed": "seed",
    "order": "labelled order",
    "device": "device",
    "precision": "precision",
    "code_version": "code version",
}


def recognises(folder: Path) -> bool:
    """Whether `folder` holds a training run or a model."""
    names = ["run.json", "metrics.csv", *(f"{s}/metrics.csv" for s in STAGES)]
    names += [f"{place}/model.json" for place in MODEL_PLACES]
    return any((folder / name).is_file() for name in names)


def section(folder: Path, pictures: int) -> Section:
    """Provenance, curves of each stage, configuration; missing pieces are named, not fatal."""
    part = Section(f"Training: {folder.resolve().name}")
    run, run_error = _json(folder / "run.json", "description of the run")
    model_file = next((f for p in MODEL_PLACES if (f := folder / p / "model.json").is_file()), None)
    model, model_error = _json(model_file, "description of the model")
    part.blocks += [Text(text, warning=True) for text in (run_error, model_error) if text]
    if not model and not model_error:
        part.blocks.append(Text("The run is not finished: it holds no model yet.", warning=True))
    elif model_file and model_file.parent == folder / "stage1/model":
        part.blocks.append(
            Text("Only stage 1 is finished: the model holds prompt maps, no network.", warning=True)
        )
    part.blocks += _provenance(run, model)
    tables = {s: folder / s / "metrics.csv" for s in STAGES}
    if (folder / "metrics.csv").is_file():
        tables[folder.name] = folder / "metrics.csv"
    for stage, path in tables.items():
        heading = STAGES.get(stage, "Training log")
        if path.is_file():
            part.blocks += _curves(heading, path)
        elif (folder / stage).is_dir():
            part.blocks.append(Text(f"{heading}: no metrics.csv, so no curves.", warning=True))
    config = folder / "config.yaml"
    if config.is_file():
        text = config.read_text(encoding="utf-8", errors="replace")
        part.blocks.append(Fold("Configuration (config.yaml)", [Code(text)]))
    elif run:
        part.blocks.append(Text("config.yaml is missing.", warning=True))
    return part


def _json(path: Path | None, what: str) -> tuple[dict[str, Any], str]:
    if path is None or not path.is_file():
        return {}, ""
    try:
        content = read_json(path, what)
    except CPS4Error as error:
        return {}, f"The {what} ({path.name}) cannot be read: {error.cause}."
    return (content, "") if isinstance(content, dict) else ({}, f"{path.name} is no JSON object.")


def _provenance(run: Mapping[str, Any], model: Mapping[str, Any]) -> list[Any]:
    known = {**run, **_mapping(model.get("provenance"))}
    config = _mapping(model.get("config") or run.get("config"))
    facts: list[tuple[str, Any]] = []
    method = model.get("method") or _mapping(config.get("stage2")).get("method")
    if method:
        facts.append(("method", method))
    if model.get("encoder_weights"):
        facts.append(("encoder weights", model["encoder_weights"]))
    if config.get("name") and "preset" not in known:
        facts.append(("preset", config["name"]))
    facts += [(name, known[key]) for key, name in PLAIN.items() if known.get(key) is not None]
    data = {}
    for key, name in WITH_DATA.items():
        if isinstance(known.get(key), list):
            data[name] = [c["id"] if isinstance(c, dict) else str(c) for c in known[key]]
            facts.append((name, len(data[name])))
    for stage, values in _mapping(model.get("metrics")).items():
        values = _mapping(values)
        best = ", ".join(f"{k} {v:.3f}" for k, v in _mapping(values.get("validation")).items())
        if best:
            facts.append(
                (
                    f"{stage.replace('stage', 'stage ')}, best epoch {values.get('epoch')}",
                    f"validation {best}",
                )
            )
    blocks: list[Any] = [Facts(facts)] if facts else []
    if data:
        rows = [(name, ", ".join(ids) or None) for name, ids in data.items()]
        blocks.append(Fold("Cases by id", [Table(("part", "cases"), rows)]))
    if model.get("prompts"):
        names = ["Background", *(s["name"] for s in model.get("schema", {}).get("structures", []))]
        prompts = model["prompts"]
        rows = list(zip(names, prompts, strict=False))
        blocks.append(Fold(f"{len(prompts)} class prompts", [Table(("class", "prompt"), rows)]))
    return blocks


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _curves(heading: str, path: Path) -> list[Any]:
    try:
        columns = read_metrics(path)
    except CPS4Error as error:
        return [Text(f"{heading}: {error.cause}.", warning=True)]
    svg = curves_svg(columns)
    if svg is None:
        return [Text(f"{heading}: metrics.csv holds no epoch yet.", warning=True)]
    text = f"{heading}. {describe(columns)}"
    return [Figure(svg_source(svg), alt=text, caption=text)]


def describe(columns: Mapping[str, np.ndarray]) -> str:
    """The curves in words: first and last loss, best validation, time."""
    epochs = columns["epoch"]
    parts = [f"{len(epochs)} epochs"]
    loss = columns.get("loss/total", np.array([]))
    there = loss[np.isfinite(loss)]
    if there.size:
        parts.append(f"total loss from {there[0]:.3g} to {there[-1]:.3g}")
    dice = columns.get("validation/mdice", np.array([]))
    if np.isfinite(dice).any():
        best = int(np.nanargmax(dice))
        parts.append(f"best validation mean Dice {dice[best]:.3f} in epoch {epochs[best]:.0f}")
    seconds = columns.get("seconds", np.array([]))
    if np.isfinite(seconds).any():
        total = float(np.nansum(seconds))
        parts.append(f"{total / 60:.1f} minutes" if total >= 120 else f"{total:.0f} seconds")
    return ", ".join(parts) + "."
