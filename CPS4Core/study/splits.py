"""Splits by case: test, validation, training, and in which order training cases get their labels.

Rules, kept for every method:

- Nothing of validation or test is ever labelled or unlabelled training data.
- `always_unlabelled` cases never teach with a label, even where a label file exists.
- A labelled order is a fixed row of cases, so that 5 % is contained in 10 % and runs can be
  repeated. Cases that are not named in the splits (added later) join training: with
  `labelled="all"` every one that has a label is labelled; with a number or a ratio they come after
  the fixed order, so they stay unlabelled until the order is used up. The same holds for training
  cases that got their label later (corrected ones).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_json

if TYPE_CHECKING:
    from CPS4Core.study.folder import Study

_PARTS = ("test", "val", "train")


@dataclass(frozen=True)
class Selection:
    """Case ids of one run; the four rows share no case."""

    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        rows = [*self.labelled, *self.unlabelled, *self.val, *self.test]
        doubled = sorted({c for c in rows if rows.count(c) > 1})
        if doubled:
            raise CPS4Error(f"Cases would be used for two purposes: {_names(doubled)}")


@dataclass
class Splits:
    """The content of splits.json, bound to what the study holds.

    `has_label` maps every case of the study to whether it has a label file.
    """

    test: list[str]
    val: list[str]
    train: list[str]
    always_unlabelled: list[str] = field(default_factory=list)
    labelled_count: dict[str, int] = field(default_factory=dict)
    labelled_order: dict[str, list[str]] = field(default_factory=dict)
    seed: int | None = None
    created: str | None = None
    has_label: Mapping[str, bool] = field(default_factory=dict)
    source: Path | None = None

    def __post_init__(self) -> None:
        for name in (*_PARTS, "always_unlabelled"):
            self._refuse(_doubled(getattr(self, name)), f"twice in '{name}'")
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            both = sorted(set(getattr(self, first)) & set(getattr(self, second)))
            self._refuse(both, f"in '{first}' and in '{second}'")
        for order, cases in self.labelled_order.items():
            self._refuse(_doubled(cases), f"twice in labelled order '{order}'")
            stray = sorted(set(cases) - set(self.train))
            self._refuse(stray, f"in labelled order '{order}' but not in 'train'")
            banned = sorted(set(cases) & set(self.always_unlabelled))
            self._refuse(banned, f"in labelled order '{order}' and in 'always_unlabelled'")
        for part in ("val", "test"):
            both = sorted(set(self.always_unlabelled) & set(getattr(self, part)))
            self._refuse(both, f"in 'always_unlabelled' and in '{part}'")

    def _refuse(self, cases: Sequence[str], where: str) -> None:
        if cases:
            raise CPS4Error(
                f"The splits name {_names(cases)} {where}",
                path=self.source,
                cure="Correct splits.json, or make new ones with cps4 study split --force",
            )

    @classmethod
    def read(cls, path: Path, has_label: Mapping[str, bool]) -> Splits:
        """Read splits.json; raises CPS4Error where it is damaged or contradicts itself."""
        content = read_json(path, "splits.json")
        try:
            return cls(
                **{part: _ids(content[part]) for part in _PARTS},
                always_unlabelled=_ids(content.get("always_unlabelled", [])),
                labelled_count={k: int(v) for k, v in content.get("labelled_count", {}).items()},
                labelled_order={k: _ids(v) for k, v in content.get("labelled_order", {}).items()},
                seed=content.get("seed"),
                created=content.get("created"),
                has_label=has_label,
                source=path,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CPS4Error(
                f"splits.json lacks or misstates {error}",
                path=path,
                cure="It needs the lists of case ids 'train', 'val' and 'test'",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = (
            *_PARTS,
            "always_unlabelled",
            "labelled_count",
            "labelled_order",
            "seed",
            "created",
        )
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    def write(self, path: Path, *, force: bool = False) -> None:
        """Write splits.json. An existing one stays unless `force`; then a copy of it is kept."""
        if path.exists():
            if not force:
                raise CPS4Error(
                    "The study has splits already",
                    path=path,
                    cure="Keep them, or replace them with --force",
                )
            write_json(path.with_name("splits.previous.json"), read_json(path, "splits.json"))
        write_json(path, self.to_dict())

    @property
    def unnamed(self) -> list[str]:
        """Cases of the study that the splits do not name; they join training."""
        return sorted(set(self.has_label) - {*self.train, *self.val, *self.test})

    @property
    def unknown(self) -> list[str]:
        """Cases that the splits name and the study does not hold."""
        return sorted({*self.train, *self.val, *self.test} - set(self.has_label))

    def pool(self, order: str | int = "0") -> list[str]:
        """Training cases that may be labelled, in the row in which they get their labels."""
        row = self.labelled_order.get(str(order))
        if row is None:
            if self.labelled_order:
                raise CPS4Error(
                    f"The splits have no labelled order '{order}'",
                    path=self.source,
                    cure="Known: " + ", ".join(self.labelled_order),
                )
            row = []
        never = {*row, *self.always_unlabelled}
        later = [c for c in sorted(self.train) if self.has_label.get(c) and c not in never]
        return row + later + [c for c in self.unnamed if self.has_label[c] and c not in never]

    def select(self, labelled: str | int | float = "all", order: str | int = "0") -> Selection:
        """Choose `labelled` ("all", "5%", 0.05, or a number of cases) from a labelled order.

        A ratio counts training cases, labelled or not, unless `labelled_count` states its number.
        Everything else in training is unlabelled. Raises CPS4Error where cases or labels lack.
        """
        missing = sorted(set(self.unknown) - set(self.test))
        if missing:
            raise CPS4Error(
                f"The splits name {_names(missing)}, which the study does not hold",
                path=self.source,
                cure="Add the images to imagesTr, or make new splits",
            )
        pool = self.pool(order)
        train = [*self.train, *self.unnamed]
        count = len(pool) if labelled == "all" else self._count(labelled, len(train))
        if not pool or count > len(pool):
            raise CPS4Error(
                f"{max(count, 1)} labelled training cases are wanted, {len(pool)} have a label",
                path=self.source,
                cure="Add label files to labelsTr, or ask for fewer; --labelled all takes each",
            )
        chosen = pool[:count]
        for cases, what in ((chosen, "labelled"), (self.val, "validation")):
            bare = [c for c in cases if not self.has_label[c]]
            if bare:
                raise CPS4Error(
                    f"No label file for the {what} cases {_names(bare)}",
                    path=self.source,
                    cure="Add their labels to labelsTr, or take the cases out of splits.json",
                )
        return Selection(
            labelled=tuple(chosen),
            unlabelled=tuple(c for c in train if c not in set(chosen)),
            val=tuple(self.val),
            test=tuple(self.test),
        )

    def _count(self, labelled: str | int | float, train: int) -> int:
        amount = parse_amount(labelled)
        if isinstance(amount, int):
            return amount
        for key, count in self.labelled_count.items():
            known = parse_amount(key)
            if isinstance(known, float) and abs(known - amount) < 1e-9:
                return count
        return max(1, round(amount * train))


def parse_amount(text: str | int | float, *, least: int = 1) -> int | float:
    """A number of cases (int) or a share (float, 0 to 1) from 5, "5", 0.05, "0.05" or "5%"."""
    try:
        if isinstance(text, bool):
            raise ValueError
        if isinstance(text, int):
            amount: int | float = text
        elif isinstance(text, float):
            amount = text
        elif text.strip().endswith("%"):
            amount = float(text.strip()[:-1]) / 100
        else:
            amount = int(text) if re.fullmatch(r"\s*\d+\s*", text) else float(text)
        if isinstance(amount, int) and amount >= least:
            return amount
        if isinstance(amount, float) and (0 < amount <= 1 or (least == 0 and amount == 0)):
            return amount
    except ValueError:
        pass
    raise CPS4Error(
        f"'{text}' is neither a number of cases nor a share of them",
        cure="Write for example 5 (cases), 5% or 0.05" + (", or all" if least else ""),
    )


def make_splits(
    study: Study,
    val: str | int | float = 0.1,
    test: str | int | float = 0,
    seed: int = 0,
    ratios: Sequence[float] = (5, 10, 25, 50),
    orders: int = 3,
    group: Callable[[str], str] | None = None,
) -> Splits:
    """Draw splits of a study's cases, reproducibly from `seed`.

    `val` and `test` are numbers or shares of the labelled cases; only labelled ones go there.
    `ratios` are percentages of all training cases. Cases of one patient stay on one side; `group`
    maps a case id to its patient (default: what the import recorded, else the case). Raises
    CPS4Error where no labelled case is left for training.
    """
    labels = study.has_label
    patients = study.patients if group is None else {case: group(case) for case in labels}
    groups: dict[str, list[str]] = {}
    for case in sorted(labels):
        groups.setdefault(patients.get(case, case), []).append(case)
    # Only wholly labelled patients are drawn, so that nobody's unlabelled scan stays behind.
    free = [g for g, cases in groups.items() if all(labels[c] for c in cases)]
    random.Random(f"parts {seed}").shuffle(free)
    total = sum(labels.values())
    parts: dict[str, list[str]] = {}
    for name, amount in (("test", test), ("val", val)):
        wanted = _draw_count(amount, total)
        drawn: list[str] = []
        while free and len(drawn) < wanted:
            drawn += groups[free.pop()]
        parts[name] = sorted(drawn)
    held = {*parts["test"], *parts["val"]}
    train = [c for c in sorted(labels) if c not in held]
    candidates = [c for c in train if labels[c]]
    if not candidates:
        raise CPS4Error(
            f"No labelled case is left for training ({total} have a label)",
            path=study.folder,
            cure="Add labels to labelsTr, or ask for fewer validation and test cases",
        )
    rows = {}
    for number in range(orders):
        rows[str(number)] = random.Random(f"order {number} {seed}").sample(
            candidates, len(candidates)
        )
    counts = {f"{r:g}%": max(1, round(r / 100 * len(train))) for r in ratios}
    return Splits(
        test=parts["test"],
        val=parts["val"],
        train=train,
        labelled_count={k: n for k, n in counts.items() if n <= len(candidates)},
        labelled_order=rows,
        seed=seed,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        has_label=labels,
    )


def default_splits(study: Study, seed: int = 0) -> Splits:
    """The splits of a study that has none: a tenth of the labelled cases validates, no test cases.

    With one or two labelled cases all of them teach and nothing validates.
    """
    return make_splits(study, val=0.1 if len(study.labelled) > 2 else 0, test=0, seed=seed)


def _draw_count(amount: str | int | float, total: int) -> int:
    number = parse_amount(amount, least=0)
    if isinstance(number, int):
        return number
    return max(1, round(number * total)) if number else 0


def _doubled(cases: Sequence[str]) -> list[str]:
    return sorted({c for c in cases if cases.count(c) > 1})


def _ids(content: Any) -> list[str]:
    if not isinstance(content, list) or not all(isinstance(c, str) for c in content):
        raise TypeError(f"a list of case ids ({str(content)[:40]!r})")
    return list(content)


def _names(cases: Sequence[str]) -> str:
    shown = ", ".join(f"'{c}'" for c in cases[:5])
    return shown + (f" and {len(cases) - 5} more" if len(cases) > 5 else "")
