"""The whole benchmark, and its table against the targets."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from CPS4Core.benchmark import processes
from CPS4Core.benchmark.made import made_volume, write_random_model
from CPS4Core.progress import Progress

IMPORTS = (
    "import torch",
    "import openvino, SimpleITK",
    "import CPS4Core.inference.segment",
    "import monai.metrics",
)
Size = tuple[int, int]
"""Rows and columns of the network's image; the volume is square with these rows."""


@dataclass(frozen=True)
class Row:
    """One measured figure. `target` is a bound for two Zen 4 cores, `at_least` its sense."""

    name: str
    value: float | None
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one or without a figure."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Plan:
    """What to measure with."""

    sizes: Sequence[Size] = ((512, 512), (1024, 1024))
    slices: int = 15
    widths: Sequence[int] = (32, 64, 128, 256, 512)
    repeats: int = 2
    device: str = "auto"
    threads: int | None = None
    train: bool = True
    train_size: int = 256
    train_batch: int = 8


SECONDS = {(512, 512): 2.5, (1024, 1024): 9.0}
MEGABYTES = {(1024, 1024): 700.0}
ONE_SHOT_SECONDS, MAPS_CPU_SECONDS, FASTER = 3.5, 0.6, 2.0
DECODED_SIZES, DECODING_CPU_SECONDS = ((160, 80), (320, 160), (512, 256)), 0.3
BASELINE_ROWS = 512  # above, eager float32 takes minutes and the ratio tells nothing new


def run_benchmark(plan: Plan, progress: Progress) -> list[Row]:
    """Measure everything; takes minutes. Raises CPS4Error where a part of it cannot run."""
    import SimpleITK as sitk

    from CPS4Core.benchmark import speed

    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="cps4-benchmark-") as folder:
        home = Path(folder)
        models, volumes = {}, {}
        for size in plan.sizes:
            what = f"{plan.slices} x {_text(size)}"
            progress.message(f"{what}: volume in memory to label map")
            model = write_random_model(home / f"model{_text(size)}", size, plan.widths)
            models[size] = model
            volume = made_volume(plan.slices, size[0])
            volumes[size[0]] = home / f"made{size[0]}.nii.gz"
            sitk.WriteImage(volume, str(volumes[size[0]]))
            baseline = size[0] <= BASELINE_ROWS
            engines = speed.engines_here(model, plan.device, plan.threads, baseline)
            found = speed.resident_seconds(model, engines, volume, plan.repeats, progress)
            rows.append(Row(f"{what}, network", speed.gigaflop(model, plan.slices), "GFLOP"))
            rows += _resident_rows(what, size, found)
            del engines
        first = models[plan.sizes[0]]
        if plan.train:
            progress.message("training steps")
            steps = speed.training_step_seconds(
                first, plan.train_size, plan.train_batch, plan.repeats, progress
            )
            rows += _training_rows(plan, steps)
        rows.append(
            Row(
                f"prompt maps after the encoder, {plan.slices} x {_text(plan.sizes[0])}",
                speed.prompt_maps_cpu_seconds(first, plan.slices),
                "CPU-s",
                MAPS_CPU_SECONDS,
            )
        )
        progress.message("level decoding")
        for size in DECODED_SIZES:
            seconds = speed.decoding_seconds(plan.slices, size, plan.repeats)
            name = f"level decoding, {plan.slices} x {_text(size)}"
            rows.append(Row(name, seconds, "CPU-s", DECODING_CPU_SECONDS))
        progress.message("commands in processes of their own")
        rows += _process_rows(plan, {s: m.folder for s, m in models.items()}, volumes, home)
    for statement in IMPORTS:
        progress.check()
        rows.append(Row(statement, processes.import_seconds(statement), "s"))
    return rows


def _resident_rows(what: str, size: Size, found: dict[str, float]) -> list[Row]:
    from CPS4Core.benchmark.speed import BASELINE

    rows = [Row(f"{what}, {name}", seconds, "s") for name, seconds in found.items()]
    best = min((name for name in found if name != BASELINE), key=lambda name: found[name])
    rows.append(Row(f"{what}, best engine", found[best], "s", SECONDS.get(size)))
    if BASELINE in found:
        ratio = found[BASELINE] / found[best]
        name = f"{what}, best engine against eager float32"
        rows.append(Row(name, ratio, "times", FASTER, at_least=True))
    return rows


def _training_rows(plan: Plan, steps: dict[str, float]) -> list[Row]:
    what = f"training step, {plan.train_batch} x {plan.train_size}"
    rows = [Row(f"{what}, {name}", seconds, "s") for name, seconds in steps.items()]
    baseline, *others = steps.values()
    if others:
        rows.append(
            Row(f"{what}, against fp32", baseline / others[-1], "times", FASTER, at_least=True)
        )
    return rows


def _process_rows(
    plan: Plan, models: dict[Size, Path], volumes: dict[int, Path], home: Path
) -> list[Row]:
    """One-shot times of the largest file with the smallest network; peak memory of every size."""
    file, size = max(volumes), min(models)
    shots = [
        processes.one_shot(volumes[file], models[size], home / f"shot{n}", "cpu", plan.threads)
        for n in range(plan.repeats)
    ]
    best = min(shots, key=lambda shot: shot.label)
    what = f"one-shot command, {file} file, network at {_text(size)}"
    rows = [
        Row(f"{what}, label file on disk", best.label, "s", ONE_SHOT_SECONDS),
        Row(f"{what}, all files", best.finished, "s"),
    ]
    for size, model in models.items():
        output = home / f"peak{_text(size)}"
        shot = processes.one_shot(volumes[size[0]], model, output, "cpu", plan.threads)
        name = f"peak memory of the command, {plan.slices} x {_text(size)}"
        rows.append(Row(name, shot.peak_mb, "MB", MEGABYTES.get(size)))
    return rows


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def as_table(rows: Sequence[Row]) -> str:
    """The figures as aligned text, each with its target and whether it is met."""
    lines = [("", "measured", "target", "")]
    for row in rows:
        value = "not measured" if row.value is None else f"{row.value:.2f} {row.unit}"
        sense = "at least" if row.at_least else "at most"
        target = "" if row.target is None else f"{sense} {row.target:g} {row.unit}"
        lines.append((row.name, value, target, {None: "", True: "met", False: "missed"}[row.met]))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].ljust(widths[2]), line[3]]
        ).rstrip()
        for line in lines
    )


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The figures for other programs."""
    return [asdict(row) | {"met": row.met} for row in rows]
