"""Draws the icon of the module and of the extension: three named levels of a lumbar spine.

    python scripts/draw_icon.py

Vertebral bodies in their colours from the label schema, white discs between them and spinous
processes behind, on a dark ground with round corners; 128 x 128 pixels, clear outside.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from CPS4Core.schema import built_in_schema

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("Resources/Icons/CPS4SpineSegment.png", "CPS4Segment/Resources/Icons/CPS4Segment.png")
SIZE, OVERSAMPLING = 128, 8
GROUND, DISC, BEHIND = (24, 32, 48, 255), (236, 240, 246, 255), (150, 162, 182, 255)

LEVELS = (
    # name, centre of the body (x, y), half width, half height, tilt in degrees
    ("L3", (49, 26), 23, 13, 7),
    ("L4", (46, 63), 24, 13, 0),
    ("L5", (50, 100), 24, 13, -12),
)
DISCS = (((47, 44.5), 21, 4, 4), ((47, 81.5), 21, 4, -6))


def draw() -> Image.Image:
    """The icon (RGBA, SIZE x SIZE)."""
    colors = {s.name: s.color for s in built_in_schema("mrspineseg").structures}
    canvas = Image.new("RGBA", (SIZE * OVERSAMPLING,) * 2, (0, 0, 0, 0))
    ground = ImageDraw.Draw(canvas)
    ground.rounded_rectangle(_scaled(2, 2, 126, 126), 22 * OVERSAMPLING, fill=GROUND)
    for _, (x, y), width, _, tilt in LEVELS:
        # The process goes back (to the right) and down from the body's upper half.
        _block(canvas, (x + width + 21, y + 6), 20, 5, tilt - 16, BEHIND, 5)
        _block(canvas, (x + width + 4, y - 2), 9, 4, tilt, BEHIND, 3)
    for centre, width, height, tilt in DISCS:
        _block(canvas, centre, width, height, tilt, DISC, 4)
    for name, centre, width, height, tilt in LEVELS:
        _block(canvas, centre, width, height, tilt, (*colors[name], 255), 6)
    return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _block(
    canvas: Image.Image,
    centre: tuple[float, float],
    width: float,
    height: float,
    tilt: float,
    color: tuple[int, int, int, int],
    corner: float,
) -> None:
    """A turned rectangle with round corners; half sizes in icon pixels."""
    layer = Image.new("RGBA", canvas.size, (*color[:3], 0))
    x, y = centre
    ImageDraw.Draw(layer).rounded_rectangle(
        _scaled(x - width, y - height, x + width, y + height), corner * OVERSAMPLING, fill=color
    )
    pivot = (x * OVERSAMPLING, y * OVERSAMPLING)
    canvas.alpha_composite(layer.rotate(tilt, Image.Resampling.BICUBIC, center=pivot))


def _scaled(*values: float) -> tuple[float, ...]:
    return tuple(value * OVERSAMPLING for value in values)


if __name__ == "__main__":
    icon = draw()
    for target in TARGETS:
        (ROOT / target).parent.mkdir(parents=True, exist_ok=True)
        icon.save(ROOT / target, optimize=True)
