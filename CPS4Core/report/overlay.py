"""Drawing on one sagittal slice: grey values, coloured labels with outlines, names, orientation.

A panel is a slice brought to its display size: superior at the top, anterior at the left, pixels
square in millimetres. Panels are Pillow images, so that nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from os import PathLike

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from CPS4Core.files import atomic_path
from CPS4Core.schema import IGNORE_INDEX, LabelSchema

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

IGNORE_COLOR = (128, 128, 128)
TEXT_COLOR = (235, 235, 235)
BACKGROUND_COLOR = (16, 16, 18)
MUTED_COLOR = (160, 160, 165)
OPACITY = 0.4
# Fat behind the spine is by far the brightest: below 1, bone beside it is not all black.
GAMMA = 0.7


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """The font that comes with Pillow, in pixels."""
    return ImageFont.load_default(size)


def grey_limits(stack: np.ndarray) -> tuple[float, float]:
    """Grey values shown black and white: percentiles .5 and 99.5 of about 10^5 voxels."""
    step = max(1, round((stack.size / 1e5) ** (1 / stack.ndim)))
    values = np.asarray(stack[(slice(None, None, step),) * stack.ndim], dtype=np.float32)
    low, high = np.percentile(values, (0.5, 99.5))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return float(low), float(high) if high > low else float(low) + 1.0


def palette(schema: LabelSchema) -> np.ndarray:
    """RGB per class index [256, 3] uint8; the background black, ignored voxels grey."""
    colors = np.zeros((256, 3), np.uint8)
    colors[1 : schema.class_count] = [s.color for s in schema.structures]
    colors[IGNORE_INDEX] = IGNORE_COLOR
    return colors


def display_size(
    shape: tuple[int, int], spacing: tuple[float, float], height: int
) -> tuple[int, int]:
    """(width, height) in pixels of a slice [rows, cols] with (row, col) spacing in mm."""
    rows, cols = shape
    return max(1, round(height * cols * spacing[1] / (rows * spacing[0]))), height


def grey_panel(
    plane: np.ndarray, size: tuple[int, int], limits: tuple[float, float] | None = None
) -> Image.Image:
    """A slice [rows, cols] as RGB panel of `size` (width, height), windowed to `limits`."""
    low, high = limits or grey_limits(plane)
    share = np.clip((np.asarray(plane, np.float32) - low) / (high - low), 0, 1)
    grey = 255 * share**GAMMA
    shrinks = size[1] < plane.shape[0]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return Image.fromarray(grey.astype(np.uint8)).resize(size, method).convert("RGB")


def label_panel(indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class indices [rows, cols] at display size [height, width] uint8, without mixing classes."""
    image = Image.fromarray(np.ascontiguousarray(indices, dtype=np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def outlines(indices: np.ndarray) -> np.ndarray:
    """True where a labelled pixel touches another class above, below, left or right of it."""
    edge = np.zeros(indices.shape, bool)
    across, down = indices[:, 1:] != indices[:, :-1], indices[1:] != indices[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge & (indices != 0)


def overlay(
    panel: Image.Image, labels: np.ndarray, schema: LabelSchema, opacity: float = OPACITY
) -> Image.Image:
    """The panel with half-transparent class colours and outlines in the full class colour.

    `labels` [height, width] are class indices at the panel's size.
    """
    pixels = np.asarray(panel).copy()
    colors = palette(schema)
    inside = labels != 0
    mixed = (1 - opacity) * pixels[inside] + opacity * colors[labels[inside]]
    pixels[inside] = np.round(mixed).astype(np.uint8)
    edge = outlines(labels)
    pixels[edge] = colors[labels[edge]]
    return Image.fromarray(pixels)


def write_names(
    panel: Image.Image, labels: np.ndarray, schema: LabelSchema, text_size: int = 15
) -> None:
    """Write each structure's name on the panel, at the height of its middle.

    Vertebrae and discs are named in front of (left of) them, other structures behind. Names that
    would overlap are moved apart, keeping their order from top to bottom.
    """
    draw, face = ImageDraw.Draw(panel), font(text_size)
    for front in (True, False):
        anchors = []
        for index in np.unique(labels):
            if index in (0, IGNORE_INDEX):
                continue
            structure = schema.structures[index - 1]
            if (structure.kind != "other") is not front:
                continue
            rows, cols = np.nonzero(labels == index)
            height = float(np.median(rows))
            near = cols[np.abs(rows - height) <= max(2, text_size / 2)]
            near = near if near.size else cols
            anchors.append((height, near.min() if front else near.max(), structure))
        anchors.sort(key=lambda a: a[0])
        heights = spread([a[0] for a in anchors], text_size + 2, panel.height)
        for y, (_, edge, structure) in zip(heights, anchors, strict=True):
            width = draw.textlength(structure.name, font=face)
            x = edge - 10 - width if front else edge + 10
            x = min(max(2, x), panel.width - width - 2)
            draw.text(
                (x, y),
                structure.name,
                fill=light(structure.color),
                font=face,
                anchor="lm",
                stroke_width=2,
                stroke_fill=(0, 0, 0),
            )


def light(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour half way to white, readable as text on dark grey."""
    red, green, blue = ((c + 255) // 2 for c in color)
    return red, green, blue


def spread(positions: Sequence[float], gap: float, length: float) -> list[float]:
    """Rising positions moved as little as needed to be `gap` apart and within 0..length.

    If they do not fit, they are set evenly.
    """
    count = len(positions)
    if count == 0:
        return []
    if count * gap > length:
        return [length * (i + 0.5) / count for i in range(count)]
    placed: list[float] = []
    for position in positions:
        lowest = placed[-1] + gap if placed else gap / 2
        placed.append(max(position, lowest))
    limit = length - gap / 2
    for i in reversed(range(count)):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed


def write_orientation(panel: Image.Image, text_size: int = 13) -> None:
    """The letters S, I, A, P at the panel's edges."""
    draw, face = ImageDraw.Draw(panel), font(text_size)
    width, height = panel.size
    for letter, position, anchor in (
        ("S", (width / 2, 3), "mt"),
        ("I", (width / 2, height - 3), "mb"),
        ("A", (4, height / 2), "lm"),
        ("P", (width - 4, height / 2), "rm"),
    ):
        draw.text(
            position,
            letter,
            fill=TEXT_COLOR,
            font=face,
            anchor=anchor,
            stroke_width=1,
            stroke_fill=(0, 0, 0),
        )


def save_png(picture: Image.Image, path: str | PathLike[str]) -> None:
    """Write a PNG file, complete or not at all; raises CPS4Error if it cannot be written."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=4)


def fitted(text: str, width: float, face: Font) -> str:
    """The text, cut with dots if it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
