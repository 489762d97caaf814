"""The picture of a slice's prompt maps: what each prompt attends to, and the labels made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike

import numpy as np
from PIL import Image, ImageDraw

from CPS4Core.report.map_panel import OUTLINE_COLOR, color_table, map_panel
from CPS4Core.report.overlay import (
    BACKGROUND_COLOR,
    MUTED_COLOR,
    TEXT_COLOR,
    display_size,
    fitted,
    font,
    grey_panel,
    label_panel,
    overlay,
    save_png,
    write_names,
)
from CPS4Core.schema import LabelSchema

PANEL_HEIGHT, LEAST_WIDTH = 240, 132
MARGIN, GAP, CAPTION, HEAD, BAR_WIDTH = 12, 8, 36, 36, 84
PICTURE_ASPECT = 1.9


def prompt_map_picture(
    image: np.ndarray,
    maps: np.ndarray,
    thresholds: np.ndarray,
    integrated: np.ndarray | None,
    schema: LabelSchema,
    path: str | PathLike[str],
    classes: Sequence[int] | None = None,
    *,
    names: Sequence[str] | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
    title: str | None = None,
) -> None:
    """Write a PNG: each prompt's soft map over the slice with its thresholded outline.

    Parameters
    ----------
    image: the slice [h, w].
    maps: soft maps [P, h, w] in 0..1, one a prompt, on one colour scale for all of them.
    thresholds: Otsu's [P]; the outline is where the map lies above it.
    integrated: class indices [h, w], or None for prompts that are no classes.
    classes: which of the P maps to show; default all.
    names: P captions; default the schema's class names.
    spacing: (row, col) in mm, for the aspect.

    Raises ValueError for shapes that do not fit and CPS4Error if the file cannot be written.
    """
    names = list(schema.class_names if names is None else names)
    if not len(maps) == len(names) == len(thresholds) or maps.shape[1:] != image.shape:
        raise ValueError(
            f"{len(names)} names, {len(thresholds)} thresholds, maps {maps.shape} and slice "
            f"{image.shape} do not fit together"
        )
    shown = list(range(len(maps))) if classes is None else list(classes)
    size = display_size(image.shape, spacing, PANEL_HEIGHT)
    grey = grey_panel(image, size)
    top = float(max((maps[i].max() for i in shown), default=0)) or 1.0
    colors = color_table()
    panels = []
    for i in shown:
        panel = map_panel(grey, maps[i], float(thresholds[i]), top, colors)
        caption = f"max {_short(maps[i].max())}, Otsu {_short(thresholds[i])}"
        panels.append((panel, names[i], caption))
    if integrated is not None:
        labels = label_panel(integrated, size)
        merged = overlay(grey, labels, schema)
        write_names(merged, labels, schema, 11)
        panels.append((merged, "integrated", "labels made of all maps"))
    picture = _arrange(panels, title or "")
    _draw_bar(picture, colors, top)
    save_png(picture, path)


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 0.005 else "< 0.01"


def _arrange(panels: Sequence[tuple[Image.Image, str, str]], title: str) -> Image.Image:
    """Panels in a grid, each above its name and its numbers; a column is left for the bar."""
    width, height = panels[0][0].size
    step_x, step_y = max(width, LEAST_WIDTH) + GAP, height + CAPTION + GAP
    ideal = math.sqrt(len(panels) * step_y * PICTURE_ASPECT / step_x)
    per_row = min(len(panels), max(1, round(ideal)))
    rows = math.ceil(len(panels) / per_row)
    picture = Image.new(
        "RGB",
        (2 * MARGIN + per_row * step_x + BAR_WIDTH, HEAD + MARGIN + rows * step_y),
        BACKGROUND_COLOR,
    )
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 8), title or "Prompt maps", fill=TEXT_COLOR, font=font(18))
    for place, (panel, name, caption) in enumerate(panels):
        x, y = MARGIN + place % per_row * step_x, HEAD + place // per_row * step_y
        picture.paste(panel, (x, y))
        name = fitted(name, step_x - GAP, font(14))
        draw.text((x, y + height + 2), name, fill=TEXT_COLOR, font=font(14))
        draw.text((x, y + height + 19), caption, fill=MUTED_COLOR, font=font(12))
    return picture


def _draw_bar(picture: Image.Image, colors: np.ndarray, top: float) -> None:
    """The colour scale and what the outline means, at the right edge."""
    draw = ImageDraw.Draw(picture)
    height = min(PANEL_HEIGHT, picture.height - HEAD - 60)
    x = picture.width - BAR_WIDTH
    ramp = np.repeat(colors[np.linspace(255, 0, height).round().astype(int)][:, None], 16, axis=1)
    picture.paste(Image.fromarray(ramp), (x, HEAD))
    for value in (1.0, 0.5, 0.0):
        y = HEAD + (1 - value) * (height - 1)
        draw.text((x + 21, y), f"{value * top:.2f}", fill=TEXT_COLOR, font=font(12), anchor="lm")
    draw.line((x, HEAD + height + 20, x + 16, HEAD + height + 20), fill=OUTLINE_COLOR, width=2)
    text = (x + 21, HEAD + height + 20)
    draw.text(text, "above Otsu", fill=MUTED_COLOR, font=font(11), anchor="lm")
