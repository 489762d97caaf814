"""One prompt map over its slice, in a perceptually even colour scale, with Otsu's outline."""

from __future__ import annotations

import numpy as np
from PIL import Image

from CPS4Core.report.overlay import outlines

OUTLINE_COLOR = (90, 235, 255)


def map_panel(
    grey: Image.Image, soft: np.ndarray, threshold: float, top: float, colors: np.ndarray
) -> Image.Image:
    """The map in colour over the slice, more opaque where it is higher, with its outline.

    `soft` [h, w] in 0..1, `top` the value shown brightest, `colors` by `color_table`.
    """
    smooth = Image.fromarray(np.asarray(soft, np.float32)).resize(
        grey.size, Image.Resampling.BILINEAR
    )
    values = np.asarray(smooth)
    share = np.clip(values / top, 0, 1)
    alpha = (0.25 + 0.55 * share)[..., None]
    pixels = np.asarray(grey) * (1 - alpha) + colors[np.round(share * 255).astype(int)] * alpha
    pixels = pixels.astype(np.uint8)
    pixels[outlines((values > threshold).astype(np.uint8))] = OUTLINE_COLOR
    return Image.fromarray(pixels)


def color_table() -> np.ndarray:
    """256 RGB colours [256, 3] of a perceptually even scale."""
    from matplotlib import colormaps

    return (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
