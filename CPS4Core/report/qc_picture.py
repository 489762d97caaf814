"""The picture by which a person checks one segmented case at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import numpy as np
from PIL import Image, ImageDraw

from CPS4Core.report.overlay import (
    BACKGROUND_COLOR,
    MUTED_COLOR,
    TEXT_COLOR,
    display_size,
    font,
    grey_limits,
    grey_panel,
    label_panel,
    overlay,
    save_png,
    write_names,
    write_orientation,
)
from CPS4Core.report.uncertainty_panel import BAR_WIDTH, draw_color_bar, uncertainty_panel
from CPS4Core.schema import IGNORE_INDEX, LabelSchema

PANEL_HEIGHT, PANEL_WIDTH = 600, 400
MARGIN, GAP, HEAD, LEGEND_WIDTH = 12, 4, 56, 206
LEGEND_LINE = 24
AROUND_MM = 30.0
MIDDLE_SHARE, SIDE_SHARE = 0.9, 0.5


def qc_picture(
    stack: np.ndarray,
    indices: np.ndarray,
    spacing: tuple[float, float, float],
    schema: LabelSchema,
    path: str | PathLike[str],
    confidence: Mapping[int, float] | None = None,
    title: str | None = None,
    uncertainty: np.ndarray | None = None,
) -> None:
    """Write a PNG: three sagittal slices, plain and with named labels, and the confidences.

    With `uncertainty` also the middle one of them with its uncertainty and a colour bar.

    Parameters
    ----------
    stack: grey values [slices, rows, cols]; rows superior to inferior, columns anterior to
        posterior, slices right to left.
    indices: class indices of the same shape.
    spacing: (slice, row, col) in mm.
    confidence: by class index, 0..1.
    title: the head line, usually the case id.
    uncertainty: uint8 of the same shape, 0..255 stands for 0..1.

    The slices are cut in front of and behind the labels, never above or below. Raises ValueError
    for shapes that differ and CPS4Error if the file cannot be written.
    """
    if stack.shape != indices.shape or stack.ndim != 3:
        raise ValueError(f"Grey values {stack.shape} and labels {indices.shape} must be alike, 3D")
    chosen = informative_slices(indices)
    columns = _columns(indices[chosen], spacing[2])
    shape = (stack.shape[1], columns.stop - columns.start)
    size = display_size(shape, spacing[1:], PANEL_HEIGHT)
    if size[0] > PANEL_WIDTH:  # a wide view: six panels side by side must stay readable
        height = max(1, PANEL_HEIGHT * PANEL_WIDTH // size[0])
        size = display_size(shape, spacing[1:], height)
    present = _present(indices, schema)
    body = max(size[1], min(PANEL_HEIGHT, LEGEND_LINE * len(present)))
    limits = grey_limits(stack)
    width = MARGIN * 2 + len(chosen) * (2 * size[0] + GAP + MARGIN) + LEGEND_WIDTH
    if uncertainty is not None:
        width += size[0] + BAR_WIDTH + MARGIN
    picture = Image.new("RGB", (width, HEAD + body + MARGIN), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 8), title or "", fill=TEXT_COLOR, font=font(20))
    x = MARGIN
    for number in chosen:
        plain = grey_panel(stack[number, :, columns], size, limits)
        labels = label_panel(indices[number, :, columns], size)
        colored = overlay(plain, labels, schema)
        write_names(colored, labels, schema)
        write_orientation(plain)
        text = f"slice {number + 1} of {len(stack)}, counted from the right"
        draw.text((x, HEAD - 20), text, fill=MUTED_COLOR, font=font(13))
        picture.paste(plain, (x, HEAD))
        picture.paste(colored, (x + size[0] + GAP, HEAD))
        x += 2 * size[0] + GAP + MARGIN
    if uncertainty is not None:
        number = chosen[len(chosen) // 2]
        draw.text((x, HEAD - 20), f"uncertainty, slice {number + 1}", MUTED_COLOR, font(13))
        panel = uncertainty_panel(
            grey_panel(stack[number, :, columns], size, limits), uncertainty[number, :, columns]
        )
        picture.paste(panel, (x, HEAD))
        draw_color_bar(picture, (x + size[0] + GAP, HEAD), size[1])
        x += size[0] + BAR_WIDTH + MARGIN
    _draw_legend(draw, x, body, present, schema, confidence)
    save_png(picture, path)


def informative_slices(indices: np.ndarray) -> list[int]:
    """Up to three slice numbers: one through the middle of the labels, and one to either side.

    The middle one is nearest to the labels' centre among those with about the most labelled voxels;
    the others are the outermost with at least half as many, so that they still show the column.
    Without any label: the middle slice.
    """
    counts = ((indices != 0) & (indices != IGNORE_INDEX)).sum(axis=(1, 2))
    if not counts.any():
        return [len(indices) // 2]
    centre = np.average(np.arange(len(counts)), weights=counts)
    rich = np.flatnonzero(counts >= MIDDLE_SHARE * counts.max())
    middle = rich[np.abs(rich - centre).argmin()]
    full = np.flatnonzero(counts >= SIDE_SHARE * counts.max())
    return sorted({int(full[0]), int(middle), int(full[-1])})


def _columns(indices: np.ndarray, column_mm: float) -> slice:
    used = np.flatnonzero((indices != 0).any(axis=(0, 1)))
    count = indices.shape[2]
    if not used.size:
        return slice(0, count)
    around = round(AROUND_MM / column_mm)
    return slice(max(0, int(used[0]) - around), min(count, int(used[-1]) + 1 + around))


def _present(indices: np.ndarray, schema: LabelSchema) -> list[int]:
    """Class indices that occur, from the top of the spine down, then those without a place."""
    there = np.zeros(256, bool)
    there[indices.reshape(-1)] = True
    order = schema.ordered_indices()[::-1]
    order += [i for i in range(1, schema.class_count) if i not in order]
    return [i for i in order if there[i]]


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    x: int,
    height: int,
    present: list[int],
    schema: LabelSchema,
    confidence: Mapping[int, float] | None,
) -> None:
    """Colour, name and confidence of each structure, as a bar with its number."""
    head = "confidence" if confidence is not None else "structures"
    draw.text((x, HEAD - 20), head, fill=MUTED_COLOR, font=font(13))
    if not present:
        draw.text((x, HEAD), "nothing was labelled", fill=TEXT_COLOR, font=font(15))
        return
    line = min(LEGEND_LINE, height / len(present))
    face = font(min(15, max(8, round(line * 0.65))))
    bar_left, bar_width = x + 96, 52
    for row, index in enumerate(present):
        structure, top = schema.structures[index - 1], HEAD + row * line
        middle = top + line / 2
        draw.rectangle((x, middle - 5, x + 10, middle + 5), fill=structure.color)
        draw.text((x + 17, middle), structure.name, fill=TEXT_COLOR, font=face, anchor="lm")
        if confidence is None:
            continue
        value = confidence.get(index)
        if value is None:
            draw.text((bar_left, middle), "not given", fill=MUTED_COLOR, font=face, anchor="lm")
            continue
        draw.rectangle((bar_left, middle - 3, bar_left + bar_width, middle + 3), fill=(50, 50, 54))
        filled = bar_left + round(bar_width * min(1.0, max(0.0, value)))
        draw.rectangle((bar_left, middle - 3, filled, middle + 3), fill=structure.color)
        draw.text(
            (bar_left + bar_width + 7, middle),
            f"{value:.2f}",
            fill=TEXT_COLOR,
            font=face,
            anchor="lm",
        )
