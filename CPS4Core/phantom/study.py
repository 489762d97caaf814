"""A study folder of phantoms in nnU-Net v2's raw layout, with splits."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, read_json, write_json
from CPS4Core.phantom.make import make_phantom
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema, built_in_schema
from CPS4Core.study.folder import write_dataset_json
from CPS4Core.study.splits import Splits
from CPS4Core.volumes.writing import write_volume

RECIPE, TRUTH = "phantom.json", "truth"
RATIOS = (5, 10, 25, 50, 90)


def write_phantom_study(
    folder: str | PathLike[str],
    labelled: int = 4,
    unlabelled: int = 8,
    val: int = 2,
    test: int = 3,
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    slices: int | None = None,
    schema: str | LabelSchema = "mrspineseg",
    **phantom: Any,
) -> Path:
    """Write a study of phantoms and return its folder.

    `labelled`, `unlabelled`, `val` and `test` count cases; further arguments go to make_phantom.
    Unlabelled cases have no file in labelsTr; their truth lies in `truth/` for scoring.

    A second call with the same arguments writes only what is missing. Raises CPS4Error if the
    folder holds anything else, or a phantom study of other arguments.
    """
    counts = {"labelled": labelled, "unlabelled": unlabelled, "val": val, "test": test}
    if min(counts.values()) < 0 or labelled < 1:
        raise CPS4Error(
            "A phantom study needs at least one labelled case and no negative counts",
            cure="Correct the numbers of cases",
        )
    if isinstance(schema, str):
        schema = built_in_schema(schema)
    progress = progress or Progress()
    root = Path(folder)
    recipe = {
        **counts,
        "size": [size, size] if isinstance(size, int) else list(size),
        "seed": seed,
        "slices": slices,
        "schema": schema.name,
        **phantom,
    }
    _claim(root, recipe)
    parts = [part for part, count in counts.items() for _ in range(count)]
    # Which kind of case a phantom becomes says nothing about its place in the row of seeds.
    places = np.random.default_rng(seed).permutation(len(parts))
    cases = {f"phantom_{place:03d}": part for place, part in zip(places, parts, strict=True)}
    todo = [c for c in sorted(cases) if not _finished(root, c, cases[c])]
    for case in progress.track(todo, "phantoms", len(cases), start=len(cases) - len(todo)):
        number = int(case.rpartition("_")[2])
        image, label = make_phantom(_case_seed(seed, number), size, slices, schema, **phantom)
        # The label first: an image alone would count as an unlabelled case.
        write_volume(label, _label_path(root, case, cases[case]))
        write_volume(image, _image_path(root, case))
    write_dataset_json(root, schema, name="phantom")
    if not (root / "splits.json").exists():
        write_json(root / "splits.json", _splits(cases, seed).to_dict())
    return root


def _case_seed(seed: int, number: int) -> int:
    # The word behind the number keeps these spines apart from those that training makes for itself
    # with the same seed (slices/phantoms.py): none may be taught and tested.
    return int(np.random.SeedSequence([seed, number, 1]).generate_state(1)[0])


def _claim(root: Path, recipe: dict[str, Any]) -> None:
    """Make the folder ours, or check that it is."""
    if root.is_dir() and any(root.iterdir()):
        if not (root / RECIPE).is_file():
            raise CPS4Error(
                "The folder holds something else than a phantom study",
                path=root,
                cure="Choose a new or empty folder",
            )
        if read_json(root / RECIPE, RECIPE) != recipe:
            raise CPS4Error(
                "The folder holds a phantom study made with other settings",
                path=root,
                cure="Choose another folder, or the same settings",
            )
    elif root.exists() and not root.is_dir():
        raise CPS4Error("A file stands where the study should go", path=root)
    make_folder(root)
    write_json(root / RECIPE, recipe)
    for name in ("imagesTr", "labelsTr", TRUTH):
        make_folder(root / name)


def _image_path(root: Path, case: str) -> Path:
    return root / "imagesTr" / f"{case}_0000.nii.gz"


def _label_path(root: Path, case: str, part: str) -> Path:
    return root / (TRUTH if part == "unlabelled" else "labelsTr") / f"{case}.nii.gz"


def _finished(root: Path, case: str, part: str) -> bool:
    return _image_path(root, case).is_file() and _label_path(root, case, part).is_file()


def _splits(cases: dict[str, str], seed: int) -> Splits:
    def of(*parts: str) -> list[str]:
        return sorted(c for c, part in cases.items() if part in parts)

    train, teach = of("labelled", "unlabelled"), of("labelled")
    counts = {f"{r}%": max(1, round(r / 100 * len(train))) for r in RATIOS}
    orders = {}
    for order in range(3):
        row = np.random.default_rng([seed, order]).permutation(len(teach))
        orders[str(order)] = [teach[i] for i in row]
    return Splits(
        test=of("test"),
        val=of("val"),
        train=train,
        always_unlabelled=of("unlabelled"),
        labelled_count={k: n for k, n in counts.items() if n <= len(teach)},
        labelled_order=orders,
        seed=seed,
    )
