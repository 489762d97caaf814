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

MARGIN, GAP, TITLE, NAME = 12, 6, 24, 22

Row = tuple[str, np.ndarray, np.ndarray, Mapping[str, np.ndarray]]


def comparison_picture(
    rows: Sequence[Row],
    schema: LabelSchema,
    path: str | PathLike[str],
    spacings: Sequence[tuple[float, float]] | None = None,
    height: int = 420,
    notes: Sequence[Mapping[str, str]] | None = None,
    across: int = 10,
) -> None:
    """Write a PNG with one row a case: the slice, the truth, then each method.

    Parameters
    ----------
    rows: (title, slice [h, w], true class indices [h, w], {method: class indices [h, w]}); a method
        that lacks a case leaves its place empty.
    spacings: (row, col) in mm of each row's slice; default square pixels.
    height: of a panel in pixels.
    notes: what stands behind a method's name above its panel, for each row by method.
    across: panels beside each other; a row with more goes on in a further line.

    Raises ValueError without rows or for shapes that differ, CPS4Error if it cannot be written.
    """
    if not rows:
        raise ValueError("There is no case to show")
    methods = list(dict.fromkeys(name for row in rows for name in row[3]))
    spacings = spacings or [(1.0, 1.0)] * len(rows)
    notes = notes or [{}] * len(rows)
    sizes = [
        display_size(row[1].shape, spacing, height)
        for row, spacing in zip(rows, spacings, strict=True)
    ]
    step = max(width for width, _ in sizes) + GAP
    names = ["image", "truth", *methods]
    lines = -(-len(names) // across)
    row_height = TITLE + lines * (NAME + height + GAP)
    width = 2 * MARGIN + min(len(names), across) * step - GAP
    picture = Image.new("RGB", (width, 2 * MARGIN + len(rows) * row_height), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(picture)
    for number, ((title, plane, truth, results), size) in enumerate(zip(rows, sizes, strict=True)):
        top = MARGIN + number * row_height
        draw.text((MARGIN, top), title, fill=MUTED_COLOR, font=font(14))
        plain = grey_panel(plane, size)
        shown = [None, truth, *(results.get(method) for method in methods)]
        for place, (name, indices) in enumerate(zip(names, shown, strict=True)):
            line, column = divmod(place, across)
            x, y = MARGIN + column * step, top + TITLE + line * (NAME + height + GAP)
            if indices is None and name != "image":
                continue
            text = fitted(f"{name} {notes[number].get(name, '')}".strip(), step - GAP, font(15))
            draw.text((x, y), text, fill=TEXT_COLOR, font=font(15))
            panel = plain
            if indices is not None:
                if indices.shape != plane.shape:
                    raise ValueError(f"{title}: labels {indices.shape} for a slice {plane.shape}")
                labels = label_panel(indices, size)
                panel = overlay(plain, labels, schema)
                write_names(panel, labels, schema, 13)
            picture.paste(panel, (x, y + NAME))
    save_png(picture, path)
