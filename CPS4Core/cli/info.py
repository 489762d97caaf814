"""`cps4 info`: the versions in use, the device, and what a model is."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from CPS4Core import __version__
from CPS4Core.progress import Progress

HELP = "show versions, the device, and what a model was trained on"
EXAMPLE = """cps4 info
cps4 info --model runs/lumbar/model"""

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "safetensors",
    "SimpleITK",
    "numpy",
    "scipy",
    "scikit-image",
    "openvino",
)
LIST_LIMIT = 8
MIB = 2**20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--model", metavar="DIR", help="describe this model, by folder or name")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Print the description; with --json it is one event named `info`."""
    # The model comes first: a wrong folder should not wait for torch.
    model = {"model": describe_model(args.model)} if args.model else {}
    installed = {} if model else {"models": describe_installed()}
    content = {"versions": versions(), "device": describe_device(), **installed, **model}
    if args.json:
        progress.emit({"event": "info", **content})
    else:
        print("\n".join(as_text(content)))
    return 0


def versions() -> dict[str, str | None]:
    """Versions by package name; None for a package that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "CPS4Core": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def describe_device() -> dict[str, Any]:
    """The processor, what decides its speed, and the GPUs that torch sees."""
    import torch

    cpu = {
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bf16": _cpu_has("_is_avx512_bf16_supported"),
        "AMX": _cpu_has("_is_amx_tile_supported"),
        "memory MiB": _memory_mib(),
    }
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append({"name": properties.name, "memory MiB": properties.total_memory // MIB})
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    if torch.backends.mps.is_available():
        gpus.append({"name": "Apple MPS", "memory MiB": None})
    return {"torch build": build, "cpu": cpu, "gpu": gpus or None}


def describe_installed() -> list[dict[str, Any]]:
    """The installed models in short, with data, licence and quality; or what is wrong with one."""
    from CPS4Core.inference.listing import list_models

    return [
        {"name": model.name, "folder": model.folder, "problem": model.problem}
        if model.problem
        else {
            "name": model.name,
            "data": model.data,
            "licence": model.licence,
            "trained on": model.trained_on,
            "quality": model.quality,
            "folder": model.folder,
        }
        for model in list_models()
    ]


def describe_model(folder: str) -> dict[str, Any]:
    """What a model labels, what it learned from and how well it did, from its model.json."""
    from CPS4Core.inference.calibration import read_calibration
    from CPS4Core.inference.confidence import SIGNS
    from CPS4Core.inference.models import open_model

    info = open_model(Path(folder))
    schema = info.schema
    kinds = {s.kind: sum(t.kind == s.kind for t in schema.structures) for s in schema.structures}
    return {
        "folder": folder,
        "data": info.data,
        "licence": info.licence,
        "levels": info.config.inference.levels,
        "method": info.method,
        "configuration": info.config.name,
        "input size": list(info.config.input.size),
        "labels": schema.name,
        "structures": {**kinds, "names": schema.class_names[1:]},
        "prompts": schema.prompts,
        "encoder weights": info.encoder_weights,
        "prompt maps": info.has_prompt_maps,
        "new prompts": info.has_text_encoder,
        "confidences calibrated for levels": [n for n in SIGNS if read_calibration(info, n)],
        "provenance": info.provenance,
        "metrics": info.metrics,
    }


def as_text(content: Any, indent: str = "") -> Iterator[str]:
    """Nested dicts and lists as indented lines; long lists are cut and say how much is left."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from as_text(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{indent}{key}:"
            for item in value:
                yield indent + "  - " + ", ".join(f"{k} {_plain(v)}" for k, v in item.items())
        else:
            yield f"{indent}{key}: {_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        more = f", ... ({len(value)} in all)" if len(value) > LIST_LIMIT else ""
        return ", ".join(_plain(v) for v in value[:LIST_LIMIT]) + more or "none"
    return "none" if value in (None, {}) else str(value)


def _cpu_has(check: str) -> bool | None:
    """One of torch's own checks, which have no public name; None where this torch lacks it."""
    import torch

    found = getattr(torch.cpu, check, None)
    return None if found is None else bool(found())


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    except (AttributeError, ValueError, OSError):
        return None  # Windows has no sysconf.
