"""The words and tables of a model card, all numbers from measurements and model.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from CPS4Core.model_card.measure import (
    ANCHOR_WARNING,
    MEASURES,
    ORIGINAL,
    Measured,
    never_labelled,
)
from CPS4Core.model_folder import ModelInfo
from CPS4Core.study.folder import Study

HEADS = {
    "dice": "mDice",
    "shape_dice_vertebrae": "shape, vertebrae",
    "shape_dice_discs": "shape, discs",
    "level_accuracy": "right level",
    "every_level_right": "all levels right",
}
PARTS = {"test": "test", "val": "validation"}


def card_text(
    info: ModelInfo,
    study: Study,
    split: str,
    measured: Sequence[Measured],
    pictures: Mapping[str, str],
    commands: Sequence[str],
    note: str = "",
) -> str:
    """The card in Markdown. pictures: {caption: path relative to the card}."""
    sections = [
        f"# Model card: {info.name}",
        _intro(info),
        _labels(info),
        _data(info, study, note),
        _quality(split, measured, never_labelled(info, study)),
        _pictures(pictures),
        _anchor(measured),
        _limits(info, split),
        "## Commands\n\n```bash\n" + "\n".join(commands) + "\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _intro(info: ModelInfo) -> str:
    size = sum(p.stat().st_size for p in info.folder.glob("*.safetensors")) / 1e6
    rows, cols = info.config.input.size
    return (
        f"Names vertebrae and discs in sagittal T2-weighted spine MRI, slice by slice at {rows} x "
        f"{cols} pixels; levels are {info.config.inference.levels} unless asked otherwise. Method "
        f"{info.method}, preset {info.config.name}, seed "
        f"{info.provenance.get('seed', 'not recorded')}, weights {size:.1f} MB "
        f"({info.provenance.get('weights', 'float32')}); encoders: {info.encoder_weights}.\n\n"
        "**Intended use: research.** It is no medical device, has no approval and may not guide "
        "diagnosis or treatment. Every result must be looked at by a person who can read it, the "
        "levels above all."
    )


def _labels(info: ModelInfo) -> str:
    seen: dict[str, int] | None = info.provenance.get("classes")
    made = _phantoms(info)
    names = info.schema.class_names[1:]
    if seen is None:
        return (
            "## What it labels\n\nNames in its schema: " + ", ".join(names) + ". Which of them its "
            "labelled cases show was not recorded."
        )
    known = [f"{n} ({seen[n]})" for n in names if seen.get(n)]
    unknown = [n for n in names if not seen.get(n)]
    text = "## What it labels\n\nIn brackets the number of labelled cases that show it: "
    text += (", ".join(known) or "none") + "."
    if unknown and made:
        text += (
            f"\n\n**Learned from phantoms only: {', '.join(unknown)}.** No real label of "
            f"{'it' if len(unknown) == 1 else 'them'} took part, so quality on real scans is "
            "not known."
        )
    elif unknown:
        text += (
            f"\n\n**Not labelled: {', '.join(unknown)}.** No training label showed "
            f"{'it' if len(unknown) == 1 else 'them'}; where the name appears it is wrong."
        )
    return text


def _data(info: ModelInfo, study: Study, note: str) -> str:
    known = info.provenance
    counts = [
        ("cases with labels", len(known.get("labelled", []))),
        ("cases without labels", len(known.get("unlabelled", []))),
        ("validation cases (they chose the best epoch)", len(known.get("validation", []))),
        ("phantoms", _phantoms(info)),
    ]
    lines = [f"| {what} | {count} |" for what, count in counts]
    text = (
        f"## Training data\n\n{info.data}, licence {info.licence}. The licence asks that the "
        "source is named"
    )
    reference = study.dataset.get("reference") if study.dataset.get("name") == info.data else None
    text += f": {reference}." if reference else "."
    text += f" {note}" if note else ""
    if initial := known.get("initial"):
        text += (
            f"\n\nIt began with the weights of the model {initial['name']}, trained on "
            f"{initial.get('study', 'unknown data')} (licence {initial.get('licence', 'unknown')})."
        )
    labelled = ", ".join(case["id"] for case in known.get("labelled", []))
    return (
        text
        + "\n\n| | |\n|---|---|\n"
        + "\n".join(lines)
        + (f"\n\nWith labels: {labelled}." if labelled else "")
    )


def _quality(split: str, measured: Sequence[Measured], unjudged: Sequence[str]) -> str:
    scored = [m for m in measured if m.cases]
    part = PARTS[split]
    head = f"| {part} cases | cases | " + " | ".join(HEADS[m] for m in MEASURES) + " |"
    lines = [head, "|---" * (2 + len(MEASURES)) + "|"]
    for m in scored:
        cells = [_cell(name, m) for name in MEASURES]
        lines.append(f"| {m.what} | {len(m.cases)} | " + " | ".join(cells) + " |")
    cases = list(scored[0].cases)
    changed = [m for m in scored if set(m.cases) == set(cases)]
    each = ["| mDice, by case | " + " | ".join(m.name for m in changed) + " |"]
    each.append("|---" * (1 + len(changed)) + "|")
    for case in cases:
        row = [
            _number(m.cases[case]["dice"]) + ("" if m.cases[case]["every_level_right"] else " ✗")
            for m in changed
        ]
        each.append(f"| {case} | " + " | ".join(row) + " |")
    return (
        "## Measured quality\n\nBy the rule of `cps4 evaluate` at native resolution: classes that "
        "are only predicted count 0"
        + (f" (not {', '.join(unjudged)}, which the labels leave out)" if unjudged else "")
        + ". Shape takes all levels as one; right level is the share of "
        "voxels with the right level among those with the right tissue.\n\n"
        + "\n".join(lines)
        + "\n\n"
        + "\n".join(each)
        + "\n\n✗: not every level is right."
    )


def _cell(name: str, measured: Measured) -> str:
    if name == "every_level_right":
        values = [case[name] for case in measured.cases.values() if case[name] is not None]
        return f"{sum(v == 1 for v in values)} of {len(values)}"
    return _number(measured.means[name])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _pictures(pictures: Mapping[str, str]) -> str:
    return "\n\n".join(f"![{caption}]({path})" for caption, path in pictures.items())


def _anchor(measured: Sequence[Measured]) -> str:
    """How the model behaves where nothing is in view from which levels are counted."""
    lines = []
    for m in measured:
        if m.name == ORIGINAL or m.name not in ("no-anchor", "phantoms"):
            continue
        warned = sum(any(ANCHOR_WARNING in w for w in said) for said in m.warnings.values())
        lines.append(
            f'- {m.what}: the warning "{ANCHOR_WARNING}" came in {warned} of {len(m.warnings)}'
        )
    if not lines:
        return ""
    return (
        "## Without sacrum and L5/S in view\n\nLevels are counted from there, so a warning is "
        "expected.\n\n" + "\n".join(lines)
    )


def _limits(info: ModelInfo, split: str) -> str:
    limits = [
        "Levels are counted from the lowest structure found: with L5/S out of view, a transitional "
        "vertebra, L6 or T13 they may be shifted as a whole.",
        "Sagittal T2-weighted scans only; other sequences, axial and coronal volumes, other parts "
        "of the spine, children, tumours, fractures and implants were not measured here.",
        "The changed copies imitate other scanners by arithmetic on the same cases; they are no "
        "measurement on other scanners.",
        f"The data come from one source ({info.data}); its labels' conventions are the model's.",
    ]
    unknown = [n for n, count in info.provenance.get("classes", {}).items() if not count]
    if unknown and _phantoms(info):
        limits.append(
            f"{', '.join(unknown)}: learned from phantoms; the outline may take in neighbouring "
            "tissue."
        )
    if split == "val":
        limits.insert(
            0, "Measured on **validation** cases, which chose the best epoch: the numbers flatter."
        )
    return "## Limits\n\n" + "\n".join(f"- {text}" for text in limits)


def _phantoms(info: ModelInfo) -> int:
    found: Any = info.provenance.get("phantoms", 0)
    return int(found.get("count", 0) if isinstance(found, Mapping) else found)
