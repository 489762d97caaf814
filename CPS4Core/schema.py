"""The label schema: which structures there are, their values, names, prompts, colours and order.

Two numberings live here. A *value* is what stands in a label file (any integer). A *class index* is
what networks see: 0 for the background, then 1.. in the schema's order. `K` counts the background.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json

IGNORE_INDEX = 255
"""Class index of voxels that neither teach nor count."""

KINDS = ("vertebra", "disc", "other")
PLACEHOLDER = "{class name}"


@dataclass(frozen=True)
class Structure:
    """One named structure.

    `code` is its SNOMED CT code or None; `order` rises from the sacrum (S 0, L5/S 1, L5 2, ...)
    and is None for what has no place along the spine. `prompt` overrides the schema's template.
    """

    value: int
    name: str
    full_name: str
    color: tuple[int, int, int]
    kind: str
    code: str | None = None
    order: int | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class LabelSchema:
    """The structures of a data set, in class-index order."""

    name: str
    structures: tuple[Structure, ...]
    template: str = "A magnetic resonance image of a {class name}."
    background: str = "Background"
    ignore_value: int | None = None

    def __post_init__(self) -> None:
        values = [0, *(s.value for s in self.structures)]
        if self.ignore_value is not None:
            values.append(self.ignore_value)
        names = [s.name for s in self.structures]
        for what, items in (("value", [str(v) for v in values]), ("name", names)):
            doubled = sorted({i for i in items if items.count(i) > 1})
            if doubled:
                raise CPS4Error(f"Label schema '{self.name}' uses {what} {doubled} twice")
        for s in self.structures:
            if s.kind not in KINDS:
                raise CPS4Error(f"Structure '{s.name}' has the unknown kind '{s.kind}'")
        if PLACEHOLDER not in self.template:
            raise CPS4Error(f"The prompt template lacks {PLACEHOLDER}: '{self.template}'")
        if not 0 < len(self.structures) < IGNORE_INDEX:
            raise CPS4Error(f"A label schema needs 1 to {IGNORE_INDEX - 1} structures")

    @property
    def class_count(self) -> int:
        """K, the background included."""
        return len(self.structures) + 1

    @property
    def class_names(self) -> list[str]:
        """K short names, the background's first."""
        return [self.background, *(s.name for s in self.structures)]

    @property
    def prompts(self) -> list[str]:
        """K class prompts, the background's first."""
        own = [s.prompt or self.fill(s.full_name) for s in self.structures]
        return [self.fill(self.background), *own]

    def fill(self, class_name: str) -> str:
        """The template with a class name in it."""
        return self.template.replace(PLACEHOLDER, class_name)

    def index_of(self, name: str) -> int:
        """Class index of a short or full name; raises CPS4Error for an unknown one."""
        found = self.find(name)
        if found is not None:
            return self.structures.index(found) + 1
        raise CPS4Error(
            f"No structure '{name}' in schema '{self.name}'",
            cure="Known names: " + ", ".join(self.class_names[1:]),
        )

    def find(self, name: str, code: str | None = None) -> Structure | None:
        """The structure with this short or full name, else the one with this SNOMED CT code."""
        wanted = name.strip().lower()
        for s in self.structures:
            if wanted in (s.name.lower(), s.full_name.lower()):
                return s
        return next((s for s in self.structures if code and s.code == code), None)

    def indices_of_kind(self, kind: str) -> list[int]:
        """Class indices of all structures of a kind."""
        return [i for i, s in enumerate(self.structures, start=1) if s.kind == kind]

    def ordered_indices(self) -> list[int]:
        """Class indices along the spine, from the sacrum upwards."""
        placed = [
            (s.order, i) for i, s in enumerate(self.structures, start=1) if s.order is not None
        ]
        return [i for _, i in sorted(placed)]

    def foreign_values(self, labels: np.ndarray) -> list[int]:
        """Values in `labels` that this schema does not know."""
        known = {0, *(s.value for s in self.structures)}
        if self.ignore_value is not None:
            known.add(self.ignore_value)
        return sorted({int(v) for v in np.unique(labels)} - known)

    def to_indices(self, labels: np.ndarray) -> np.ndarray:
        """Label values to class indices (uint8, same shape); the ignore value gives IGNORE_INDEX.

        Raises CPS4Error for foreign values.
        """
        foreign = self.foreign_values(labels)
        if foreign:
            raise CPS4Error(
                f"Label values {foreign} are not in schema '{self.name}'",
                cure="Correct dataset.json, or convert the labels with cps4 study import",
            )
        pairs = {0: 0} | {s.value: i for i, s in enumerate(self.structures, start=1)}
        if self.ignore_value is not None:
            pairs[self.ignore_value] = IGNORE_INDEX
        return _replace_values(labels, pairs, np.uint8)

    def to_values(self, indices: np.ndarray) -> np.ndarray:
        """Class indices to label values, in the smallest unsigned type that holds them all."""
        pairs = {0: 0} | {i: s.value for i, s in enumerate(self.structures, start=1)}
        largest = max(s.value for s in self.structures)
        if self.ignore_value is not None:
            pairs[IGNORE_INDEX] = self.ignore_value
            largest = max(largest, self.ignore_value)
        return _replace_values(indices, pairs, np.uint8 if largest < 256 else np.uint16)

    def remap_to(self, target: LabelSchema) -> dict[int, int]:
        """Values of this schema -> values of `target`, by structure name.

        A vertebra or disc that the target does not know becomes the target's ignore value if it
        has one (it is no background, but no known class either); everything else background.
        """
        by_name = {s.name: s.value for s in target.structures}
        lost = 0 if target.ignore_value is None else target.ignore_value
        pairs = {0: 0} | {
            s.value: by_name.get(s.name, 0 if s.kind == "other" else lost) for s in self.structures
        }
        if self.ignore_value is not None:
            pairs[self.ignore_value] = lost
        return pairs

    def remap(self, labels: np.ndarray, target: LabelSchema) -> np.ndarray:
        """`labels` in the target's values; raises CPS4Error for values foreign to this schema."""
        foreign = self.foreign_values(labels)
        if foreign:
            raise CPS4Error(f"Label values {foreign} are not in schema '{self.name}'")
        return _replace_values(labels, self.remap_to(target), np.uint16)

    def with_prompts(self, template: str | None, prompts: Mapping[str, str] | None) -> LabelSchema:
        """A copy with another template and/or own prompts by short or full class name."""
        structures = list(self.structures)
        for name, prompt in (prompts or {}).items():
            index = self.index_of(name) - 1
            structures[index] = replace(structures[index], prompt=prompt)
        return replace(self, template=template or self.template, structures=tuple(structures))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description; `from_dict` reads it back."""
        content = asdict(self)
        content["structures"] = [
            {k: list(v) if k == "color" else v for k, v in asdict(s).items()}
            for s in self.structures
        ]
        return content

    def nnunet_labels(self) -> dict[str, int]:
        """The `labels` table of dataset.json, the ignore label last as nnU-Net wants it."""
        labels = {"background": 0} | {s.name: s.value for s in self.structures}
        if self.ignore_value is not None:
            labels["ignore"] = self.ignore_value
        return labels


def _replace_values(array: np.ndarray, pairs: Mapping[int, int], dtype: Any) -> np.ndarray:
    keys = np.array(sorted(pairs))
    targets = np.array([pairs[int(k)] for k in keys], dtype=dtype)
    return targets[np.searchsorted(keys, array)]


def schema_from_dict(content: Mapping[str, Any], source: Path | str | None = None) -> LabelSchema:
    """Build a schema from its JSON form; raises CPS4Error naming what is missing."""
    try:
        structures = tuple(
            Structure(
                value=int(s["value"]),
                name=str(s["name"]),
                full_name=str(s.get("full_name") or s["name"]),
                color=_color(s.get("color"), i),
                kind=str(s.get("kind", "other")),
                code=s.get("code"),
                order=s.get("order"),
                prompt=s.get("prompt"),
            )
            for i, s in enumerate(content["structures"])
        )
        return LabelSchema(
            name=str(content["name"]),
            structures=structures,
            template=str(content.get("template", LabelSchema.template)),
            background=str(content.get("background", LabelSchema.background)),
            ignore_value=content.get("ignore_value"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CPS4Error(f"The label schema lacks or misstates {error}", path=source) from error


def built_in_schemas() -> list[str]:
    """Names that `built_in_schema` knows."""
    folder = resources.files("CPS4Core") / "schemas"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".json"))


def built_in_schema(name: str) -> LabelSchema:
    """A schema shipped with the package: mrspineseg, spider or totalspineseg."""
    if name.lower() not in built_in_schemas():
        raise CPS4Error(
            f"No built-in label schema '{name}'", cure="Known: " + ", ".join(built_in_schemas())
        )
    with resources.as_file(
        resources.files("CPS4Core") / "schemas" / f"{name.lower()}.json"
    ) as path:
        return schema_from_dict(read_json(path, "label schema"), path)


def schema_from_dataset_json(content: Mapping[str, Any], source: Path | str) -> LabelSchema:
    """The schema of a study from its dataset.json (nnU-Net v2's).

    Our own full form is taken from the key `cps4_schema` if it is there. Otherwise the `labels`
    table gives names and values; colour, code, kind and order come from the built-in schema for
    names that it knows (under any value), so that a plain nnU-Net folder works as it is.
    """
    if "cps4_schema" in content:
        return schema_from_dict(content["cps4_schema"], source)
    labels = content.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise CPS4Error("dataset.json has no table 'labels'", path=source)
    known = {
        key: s
        for name in ("totalspineseg", "spider", "mrspineseg")
        for s in built_in_schema(name).structures
        for key in _spellings(s)
    }
    structures, ignore = [], None
    for i, (name, value) in enumerate(labels.items()):
        if not isinstance(value, int) or isinstance(value, bool):
            raise CPS4Error(
                f"Label '{name}' of dataset.json is {value!r}, not one integer",
                path=source,
                cure="Region-based labels are not supported; give each structure a value",
            )
        if value == 0:
            continue
        if name.lower() == "ignore":
            ignore = value
            continue
        like = known.get(_plain(name))
        structures.append(
            replace(like, value=value, name=name)
            if like
            else Structure(value, name, name.replace("_", " "), _color(None, i), "other")
        )
    return LabelSchema(
        name=str(content.get("name", Path(source).parent.name)),
        structures=tuple(structures),
        ignore_value=ignore,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _spellings(structure: Structure) -> Iterable[str]:
    yield _plain(structure.name)
    yield _plain(structure.full_name)


def _color(given: Any, position: int) -> tuple[int, int, int]:
    if given is not None:
        red, green, blue = (int(c) for c in given)
        return red, green, blue
    from colorsys import hsv_to_rgb

    # Steps of the golden ratio keep neighbours far apart in hue, for any number of classes.
    rgb = hsv_to_rgb((position * 0.618) % 1, 0.6, 0.95)
    return round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2])
