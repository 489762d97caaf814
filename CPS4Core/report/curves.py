"""Charts as SVG text: training curves, and Dice by class."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_RANGE = 30
GRID_COLOR, TEXT_COLOR, OTHER_COLOR = "#e3e5e8", "#30343a", "#7a828c"


def curves_svg(columns: Mapping[str, np.ndarray]) -> str | None:
    """Losses and validation over the epochs, side by side; None if there is nothing to draw.

    `columns` is what `read_metrics` gives: `loss/...` and `validation/...` are drawn, gaps (NaN)
    are bridged, and single values are marked.
    """
    groups = {
        heading: {
            name.removeprefix(prefix): values
            for name, values in columns.items()
            if name.startswith(prefix) and np.isfinite(values).any()
        }
        for heading, prefix in (("Loss", "loss/"), ("Validation", "validation/"))
    }
    shown = {heading: lines for heading, lines in groups.items() if lines}
    if not shown or "epoch" not in columns:
        return None
    figure = new_figure(5.2 * len(shown), 3.1)
    for place, (heading, lines) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), place)
        for name, values in _total_first(lines).items():
            there = np.isfinite(values)
            axes.plot(
                columns["epoch"][there],
                values[there],
                label=name,
                linewidth=2.2 if name in ("total", "mdice") else 1.3,
                marker="o" if there.sum() < 30 else None,
                markersize=2.5,
            )
        everything = np.concatenate([v[np.isfinite(v)] for v in lines.values()])
        positive = bool((everything > 0).all())
        if heading == "Loss" and positive and everything.max() > LOG_RANGE * everything.min():
            axes.set_yscale("log")
        if heading == "Validation" and everything.min() >= 0 and everything.max() <= 1:
            axes.set_ylim(0, 1)
        dress(axes, heading, "epoch")
        axes.locator_params(axis="x", integer=True)
        axes.legend(frameon=False, fontsize=8)
    return svg_text(figure)


def class_chart_svg(
    scores: Mapping[str, Sequence[float]],
    means: Mapping[str, float],
    colors: Mapping[str, tuple[int, int, int]] | None = None,
    measure: str = "Dice",
) -> str | None:
    """One bar a class at its mean, one dot a case; None without any mean.

    Parameters
    ----------
    scores: the cases' values by class name (may be empty).
    means: the bars' lengths by class name, in the order from top to bottom.
    colors: RGB by class name.
    """
    shown = {name: mean for name, mean in means.items() if np.isfinite(mean)}
    if not shown:
        return None
    figure = new_figure(7.0, 0.9 + 0.235 * len(shown))
    axes = figure.add_subplot(1, 1, 1)
    for place, (name, mean) in enumerate(shown.items()):
        color = _hex((colors or {}).get(name))
        axes.barh(place, mean, height=0.72, color=color, edgecolor="#555b63", linewidth=0.5)
        dots = np.array([v for v in scores.get(name, ()) if np.isfinite(v)])
        axes.plot(
            dots,
            np.full(len(dots), place),
            "o",
            color="#22262b",
            markersize=2.6,
            alpha=0.7,
            clip_on=False,
        )
        axes.text(1.015, place, f"{mean:.3f}", va="center", fontsize=8, color=TEXT_COLOR)
    axes.set_yticks(range(len(shown)), list(shown), fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    dress(axes, f"{measure} by structure: bars are means, dots are cases", measure)
    axes.grid(axis="y", visible=False)
    return svg_text(figure)


def _total_first(lines: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: lines[k] for k in sorted(lines, key=lambda name: name not in ("total", "mdice"))}


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure; sizes in inches."""
    # The object interface: no window system and no global state of pyplot.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def dress(axes: Axes, heading: str, across: str) -> None:
    """Heading, label across, grid and colours as all charts have them."""
    axes.set_title(heading, fontsize=10, loc="left", color=TEXT_COLOR)
    axes.set_xlabel(across, fontsize=9, color=TEXT_COLOR)
    axes.tick_params(labelsize=8, colors=TEXT_COLOR)
    axes.grid(color=GRID_COLOR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _hex(color: tuple[int, int, int] | None) -> str:
    return OTHER_COLOR if color is None else "#{:02x}{:02x}{:02x}".format(*color)


def svg_text(figure: Figure) -> str:
    """A figure as SVG; the same numbers give the same text."""
    from matplotlib import rc_context

    text = io.StringIO()
    # Fixed ids and no date: the same numbers give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "cps4", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
