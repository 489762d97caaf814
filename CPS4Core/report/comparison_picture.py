"""Cases by methods: the slice, the truth and what each method made of it, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
from PIL import Image, ImageDraw

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

MARGIN, GAP, HEAD, ROW_HEAD = 12, 6, 26, 24

Row = tuple[str, np.ndarray, np.ndarray, Mapping[str, np.ndarray]]


def comparison_picture(
    rows: Sequence[Row],
    schema: LabelSchema,
    path: str | PathLike[str],
    spacings: Sequence[tuple[float, float]] | None = None,
    height: int = 420,
) -> None:
    """Write a PNG with one row a case: the slice, the truth, then each method.

    Parameters
    ----------
    rows: (title, slice [h, w], true class indices [h, w], {method: class indices [h, w]}); a method
        that lacks a case leaves its place empty.
    spacings: (row, col) in mm of each row's slice; default square pixels.
    height: of a panel in pixels.

    Raises ValueError without rows or for shapes that differ, CPS4Error if it cannot be written.
    """
    if not rows:
        raise ValueError("There is no case to show")
    methods = list(dict.fromkeys(name for row in rows for name in row[3]))
    spacings = spacings or [(1.0, 1.0)] * len(rows)
    sizes = [
        display_size(row[1].shape, spacing, height)
        for row, spacing in zip(rows, spacings, strict=True)
    ]
    step = max(width for width, _ in sizes) + GAP
    columns = ["image", "truth", *methods]
    picture = Image.new(
        "RGB",
        (2 * MARGIN + len(columns) * step - GAP, HEAD + MARGIN + len(rows) * (height + ROW_HEAD)),
        BACKGROUND_COLOR,
    )
    draw = ImageDraw.Draw(picture)
    for place, name in enumerate(columns):
        text = fitted(name, step - GAP, font(16))
        draw.text((MARGIN + place * step, 6), text, fill=TEXT_COLOR, font=font(16))
    for number, ((title, plane, truth, results), size) in enumerate(zip(rows, sizes, strict=True)):
        y = HEAD + number * (height + ROW_HEAD)
        draw.text((MARGIN, y + 4), title, fill=MUTED_COLOR, font=font(14))
        plain = grey_panel(plane, size)
        picture.paste(plain, (MARGIN, y + ROW_HEAD))
        for place, indices in enumerate([truth, *(results.get(m) for m in methods)], start=1):
            if indices is None:
                continue
            if indices.shape != plane.shape:
                raise ValueError(f"{title}: labels {indices.shape} for a slice {plane.shape}")
            labels = label_panel(indices, size)
            panel = overlay(plain, labels, schema)
            write_names(panel, labels, schema, 13)
            picture.paste(panel, (MARGIN + place * step, y + ROW_HEAD))
    save_png(picture, path)
