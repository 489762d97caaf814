"""A slice with its uncertainty in colours of even perceived steps, and the colour bar beside it.

The colours are points of Inferno (Smith and van der Walt, matplotlib, CC0), joined by lines: dark
is certain, bright doubtful, also in grey and for people who do not tell red from green.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from CPS4Core.report.overlay import TEXT_COLOR, font

INFERNO = (
    (0, 0, 4),
    (31, 12, 72),
    (85, 15, 109),
    (136, 34, 106),
    (186, 54, 85),
    (227, 89, 51),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
)
BAR_WIDTH = 40
"""Of the colour bar with its numbers, in pixels."""

GREY_SHARE = 0.35
"""How much of the image shines through, so that one sees where one is."""


def color_map() -> np.ndarray:
    """RGB [256, 3] uint8 from certain to doubtful."""
    at = np.linspace(0, 255, len(INFERNO))
    channels = [np.interp(np.arange(256), at, channel) for channel in zip(*INFERNO, strict=True)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def uncertainty_panel(panel: Image.Image, uncertainty: np.ndarray) -> Image.Image:
    """A grey slice at display size under the colours of its uncertainty [rows, cols] uint8."""
    plane = Image.fromarray(np.ascontiguousarray(uncertainty))
    doubt = np.asarray(plane.resize(panel.size, Image.Resampling.BILINEAR))
    mixed = color_map()[doubt] * (1 - GREY_SHARE) + np.asarray(panel) * GREY_SHARE
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def draw_color_bar(picture: Image.Image, corner: tuple[int, int], height: int) -> None:
    """The colours from 1 (top) to 0 with numbers, at `corner` (left, top)."""
    x, y = corner
    steps = np.round(np.linspace(255, 0, height)).astype(np.uint8)
    bar = np.repeat(color_map()[steps][:, None], 10, axis=1)
    picture.paste(Image.fromarray(bar), corner)
    draw, face = ImageDraw.Draw(picture), font(12)
    for value, anchor in ((1.0, "lt"), (0.5, "lm"), (0.0, "lb")):
        place = (x + 13, y + round((1 - value) * (height - 1)))
        draw.text(place, f"{value:g}", fill=TEXT_COLOR, font=face, anchor=anchor)
