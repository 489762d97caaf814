"""Inputs that a model was not made for: write them, segment them, print what the model says.

    python scripts/odd_inputs.py STUDY --cases spider_107 spider_200 --output runs/odd

Changed copies of a study's scans (upside down in the array, turned, mirrored front to back,
inverted, bright fat faded, half of the slices empty, one vertebra) and volumes without a spine
(noise, smooth noise, a ball, a ball with folds). `--model`: another than the installed one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from CPS4Core.files import make_folder
from CPS4Core.inference.segment import Options, segment_volumes
from CPS4Core.study.folder import Study
from CPS4Core.volumes.reading import read_volume
from CPS4Core.volumes.sagittal import to_sagittal
from CPS4Core.volumes.writing import write_volume

VERTEBRA_MM = 38.0


def volume(stack: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    """A sagittal stack [slices, rows, cols] as an image whose header says that it is upright."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(stack.astype(np.float32)))
    image.SetSpacing(tuple(reversed(spacing)))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    return image


def changed(path: Path) -> Iterator[tuple[str, sitk.Image]]:
    """A scan and its changed copies."""
    stack = to_sagittal(read_volume(path))
    a, spacing = stack.array.astype(np.float32), stack.spacing
    inverted = np.where(a < 10, 0, a.max() - a)
    bright = np.clip(gaussian_filter(a, (0, 12, 12)) - 0.3 * a.max(), 0, None)
    half = a.copy()
    half[: len(half) // 2] = 0
    rows, middle = round(VERTEBRA_MM / spacing[1]), a.shape[1] // 2
    copies = {
        "as it is": a,
        "upside down": a[:, ::-1],
        "turned by 180 degrees": a[:, ::-1, ::-1],
        "mirrored front to back": a[:, :, ::-1],
        "inverted": inverted,
        "bright fat faded": a * np.exp(-bright / (0.25 * a.max())),
        "half of the slices empty": half,
        "one vertebra": a[:, middle - rows // 2 : middle + rows // 2],
    }
    for name, copy in copies.items():
        yield name, volume(copy, spacing)


def without_spine() -> Iterator[tuple[str, sitk.Image]]:
    """Noise and balls."""
    random, spacing = np.random.default_rng(0), (4.0, 0.6, 0.6)
    shape = (15, 384, 384)
    at = np.mgrid[: shape[0], : shape[1], : shape[2]]
    away = [(x - (n - 1) / 2) * mm for x, n, mm in zip(at, shape, spacing, strict=True)]
    from_middle = np.sqrt(sum(x**2 for x in away))
    noise = random.normal(0, 10, shape)
    folds = 150 * np.sin(at[2] / 9) * np.cos(at[1] / 11) * (from_middle < 70)
    yield "noise", volume(300 + 5 * noise, spacing)
    yield "smooth noise", volume(300 + 100 * gaussian_filter(noise, (1, 8, 8)), spacing)
    yield "ball", volume(np.where(from_middle < 70, 400, 20) + noise, spacing)
    yield "ball with folds", volume(np.where(from_middle < 75, 200, 10) + folds + noise, spacing)


def main() -> None:
    """Read the arguments, segment, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    study = Study.open(args.study)
    made = {f"{c}, {n}": v for c in args.cases for n, v in changed(study.cases[c].image)}
    made |= dict(without_spine())
    folder = make_folder(args.output / "volumes")
    paths = {name: folder / f"{name.replace(', ', '_').replace(' ', '-')}.nii.gz" for name in made}
    for name, path in paths.items():
        write_volume(made[name], path)
    out = args.output / "segmentations"
    segment_volumes([*paths.values()], out, args.model, Options(overwrite=True, device="cpu"))
    print("| input | structures | mean confidence | all names right | warnings |")
    print("|---" * 5 + "|")
    for name, path in paths.items():
        said = json.loads((out / f"{path.name.removesuffix('.nii.gz')}.json").read_text())
        confidences = [s["confidence"] for s in said["structures"]]
        mean = f"{np.mean(confidences):.2f}" if confidences else "-"
        warnings = "; ".join(w.split(":")[0].split(" (")[0] for w in said["warnings"])
        print(f"| {name} | {len(confidences)} | {mean} | {said['confidence']:.2f} | {warnings} |")


if __name__ == "__main__":
    main()
