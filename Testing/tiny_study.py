"""A study small enough to train on in a test: three stacked structures on dark ground."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CPS4Core.config import Config, load_config

LABELS = {"background": 0, "L5": 1, "L4/L5": 2, "L4": 3, "ignore": 4}
SPACING = (4.0, 1.0, 1.0)  # slices lie along x


def tiny_case(seed: int) -> tuple[sitk.Image, sitk.Image]:
    """Five sagittal slices of 40 x 32: a disc between two vertebrae, moved a little by the seed."""
    random = np.random.default_rng(seed)
    labels = np.zeros((40, 32, 5), np.uint8)  # superior-inferior, anterior-posterior, right-left
    top, left = 8 + random.integers(4), 8 + random.integers(4)
    labels[top : top + 8, left : left + 12] = 3
    labels[top + 8 : top + 12, left : left + 12] = 2
    labels[top + 12 : top + 20, left : left + 12] = 1
    labels[:, :2] = 4
    signal = np.array([100, 300, 500, 260, 100], np.float32)[labels]
    signal += random.normal(0, 15, labels.shape).astype(np.float32)
    # x runs right to left, y anterior to posterior, z inferior to superior in SimpleITK's world.
    volumes = [sitk.GetImageFromArray(np.ascontiguousarray(v[::-1])) for v in (signal, labels)]
    for volume in volumes:
        volume.SetSpacing(SPACING)
    return volumes[0], volumes[1]


def write_tiny_study(folder: Path, labelled: int = 2, unlabelled: int = 2, val: int = 1) -> Path:
    """nnU-Net's raw layout with splits.json; case names say their part."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    names = [f"labelled{i}" for i in range(labelled)]
    bare = [f"unlabelled{i}" for i in range(unlabelled)]
    held = [f"val{i}" for i in range(val)]
    for seed, name in enumerate([*names, *bare, *held]):
        image, label = tiny_case(seed)
        sitk.WriteImage(image, str(folder / "imagesTr" / f"{name}_0000.nii.gz"))
        if name not in bare:
            sitk.WriteImage(label, str(folder / "labelsTr" / f"{name}.nii.gz"))
    dataset = {
        "channel_names": {"0": "T2"},
        "labels": LABELS,
        "numTraining": labelled + val,
        "file_ending": ".nii.gz",
        "name": "tiny",
    }
    splits = {
        "test": [],
        "val": held,
        "train": [*names, *bare],
        "always_unlabelled": bare,
        "labelled_count": {},
        "labelled_order": {"0": names},
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


TINY_OPTIONS = (
    "input.size=[40,32]",
    "vision_language.vision.width=16",
    "vision_language.vision.depth=1",
    "vision_language.vision.heads=2",
    "vision_language.text.width=16",
    "vision_language.text.depth=1",
    "vision_language.projection=16",
    "stage1.epochs=2",
    "stage1.iterations_per_epoch=2",
    "stage1.batch=2",
    "stage1.validate_every=1",
    "network.widths=[4,8,8]",
    "stage2.epochs=2",
    "stage2.iterations_per_epoch=2",
    "stage2.labelled_batch=2",
    "stage2.unlabelled_batch=2",
    "stage2.validate_every=1",
    "stage2.warmup=0",
    "stage2.pseudo_labels=voxel",
    "phantoms.count=0",
)


def tiny_config(*overrides: str) -> Config:
    """The `cpu` preset at a size for tests."""
    return load_config("cpu", [*TINY_OPTIONS, *overrides])
