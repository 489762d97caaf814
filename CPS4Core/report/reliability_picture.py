"""The reliability diagram: confidence against the share that is right, and against Dice."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from CPS4Core.files import atomic_path
from CPS4Core.report.curves import TEXT_COLOR, dress, new_figure, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "structures": "Confidence of a level's name",
    "cases": "Confidence of all names of a case",
}
RIGHT_COLOR, DICE_COLOR, COUNT_COLOR = "#1f5f8b", "#c77700", "#c9d2da"


def reliability_figure(content: Mapping[str, Any]) -> Figure:
    """One diagram for each part of metrics.json's `reliability`, with its counts below."""
    figure = new_figure(4.6 * len(content), 4.4)
    grid = figure.add_gridspec(2, len(content), height_ratios=(3.2, 1))
    for place, (name, part) in enumerate(content.items()):
        upper = figure.add_subplot(grid[0, place])
        lower = figure.add_subplot(grid[1, place], sharex=upper)
        _draw(upper, lower, TITLES.get(name, name), part)
    return figure


def write_reliability_picture(content: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write the diagram as PNG, complete or not at all; CPS4Error if it cannot be written."""
    with atomic_path(path) as temporary:
        reliability_figure(content).savefig(temporary, format="png", dpi=120)


def reliability_svg(content: Mapping[str, Any]) -> str:
    """The diagram as SVG text."""
    return svg_text(reliability_figure(content))


def describe(content: Mapping[str, Any]) -> str:
    """The diagram in words."""
    parts = [
        f"{TITLES.get(name, name)}: {part['count']} in all, mean confidence "
        f"{_text(part['confidence'])}, right {_text(part['right'])}, ECE {_text(part['ece'])}, "
        f"Brier {_text(part['brier'])}, AUC {_text(part['auc'])}"
        for name, part in content.items()
    ]
    return ". ".join(parts) + "."


def _draw(upper: Axes, lower: Axes, title: str, part: Mapping[str, Any]) -> None:
    rows = [b for b in part["bins"] if b["count"]]
    upper.plot((0, 1), (0, 1), color="#9aa2ab", linewidth=1, linestyle="--", label="perfect")
    sure = [b["confidence"] for b in rows]
    upper.plot(sure, [b["right"] for b in rows], "o-", color=RIGHT_COLOR, label="share right")
    dice = [(b["confidence"], b["dice"]) for b in rows if b["dice"] is not None]
    if dice:
        upper.plot(*zip(*dice, strict=True), "s:", color=DICE_COLOR, label="mean Dice")
    upper.set_xlim(0, 1)
    upper.set_ylim(-0.02, 1.02)
    dress(upper, title, "")
    upper.legend(frameon=False, fontsize=8, loc="best")
    numbers = f"ECE {_text(part['ece'])}  Brier {_text(part['brier'])}  AUC {_text(part['auc'])}"
    upper.text(0.98, 0.02, numbers, ha="right", fontsize=8, color=TEXT_COLOR)
    width = part["bins"][0]["high"] - part["bins"][0]["low"]
    for b in part["bins"]:
        middle = (b["low"] + b["high"]) / 2
        lower.bar(middle, b["count"], 0.9 * width, color=COUNT_COLOR)
        if b["count"]:
            lower.text(middle, b["count"], str(b["count"]), ha="center", va="bottom", fontsize=7)
    lower.margins(y=0.25)
    dress(lower, "", "confidence")
    lower.set_ylabel("count", fontsize=8, color=TEXT_COLOR)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
