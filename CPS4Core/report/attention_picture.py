"""What the same prompts attend to under several methods: one row a method, one column a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from PIL import Image, ImageDraw

from CPS4Core.report.map_panel import color_table, map_panel
from CPS4Core.report.overlay import (
    BACKGROUND_COLOR,
    MUTED_COLOR,
    TEXT_COLOR,
    display_size,
    fitted,
    font,
    grey_panel,
    save_png,
)

MARGIN, GAP, HEAD, CAPTION, NAMES_WIDTH = 12, 6, 60, 20, 150


@dataclass(frozen=True)
class AttentionRow:
    """A method's soft maps [P, h, w] in 0..1 of one slice and Otsu's thresholds [P]."""

    name: str
    maps: np.ndarray
    thresholds: np.ndarray


def write_attention_picture(
    image: np.ndarray,
    rows: Sequence[AttentionRow],
    prompts: Sequence[str],
    path: str | PathLike[str],
    title: str = "",
    height: int = 260,
) -> None:
    """Write a PNG of the slice [h, w] and of every method's maps of the P prompts over it.

    Each method's panels share one scale, from 0 to its highest value (named beside it), since
    activations of different objectives have no common unit. Raises ValueError without rows,
    CPS4Error if the file cannot be written.
    """
    if not rows:
        raise ValueError("There is no method to show")
    size = display_size(image.shape, (1.0, 1.0), height)
    grey, colors = grey_panel(image, size), color_table()
    step_x, step_y = max(size[0], 90) + GAP, height + CAPTION
    picture = Image.new(
        "RGB",
        (
            2 * MARGIN + NAMES_WIDTH + (len(prompts) + 1) * step_x,
            HEAD + MARGIN + len(rows) * step_y,
        ),
        BACKGROUND_COLOR,
    )
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 8), title, fill=TEXT_COLOR, font=font(18))
    left = MARGIN + NAMES_WIDTH
    for place, name in enumerate(["image", *prompts]):
        text = fitted(name, step_x - GAP, font(16))
        draw.text((left + place * step_x, HEAD - 24), text, fill=TEXT_COLOR, font=font(16))
    for number, row in enumerate(rows):
        y, top = HEAD + number * step_y, float(row.maps.max()) or 1.0
        name = fitted(row.name, NAMES_WIDTH - GAP, font(16))
        draw.text((MARGIN, y + 4), name, fill=TEXT_COLOR, font=font(16))
        draw.text((MARGIN, y + 26), f"0 to {top:.2f}", fill=MUTED_COLOR, font=font(14))
        picture.paste(grey, (left, y))
        for place, (soft, threshold) in enumerate(
            zip(row.maps, row.thresholds, strict=True), start=1
        ):
            panel = map_panel(grey, soft, float(threshold), top, colors)
            picture.paste(panel, (left + place * step_x, y))
    save_png(picture, path)
