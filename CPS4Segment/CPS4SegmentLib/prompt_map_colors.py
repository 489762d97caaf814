"""Colours of prompt maps: lightness rises evenly, so that equal steps of a map look equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

NAME = "CPS4 prompt map colours"


def map_colors(steps: int = 256) -> np.ndarray:
    """RGB in 0..1 [steps, 3] from dark violet over blue and green to yellow.

    A straight climb of CIELAB lightness while the hue turns; each colour is as strong as sRGB can
    show at its lightness, up to a limit that is the same everywhere.
    """
    share = np.linspace(0, 1, steps)
    lightness = 14 + 78 * share
    hue = np.radians(310 - 210 * share)
    colors = np.zeros((steps, 3))
    todo = np.ones(steps, bool)
    for chroma in range(52, 0, -1):
        rgb = _lab_to_rgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
        fits = todo & (rgb >= 0).all(axis=1) & (rgb <= 1).all(axis=1)
        colors[fits] = rgb[fits]
        todo &= ~fits
    return colors


def map_color_node(scene: Any) -> Any:
    """The scene's colour table of prompt maps, made if there is none yet."""
    table = scene.GetFirstNodeByName(NAME)
    if table is None or not table.IsA("vtkMRMLColorTableNode"):
        table = slicer.vtkMRMLColorTableNode()
        table.SetTypeToUser()
        table.SetName(NAME)
        colors = map_colors()
        table.SetNumberOfColors(len(colors))
        table.GetLookupTable().SetTableRange(0, len(colors) - 1)
        for i, (red, green, blue) in enumerate(colors):
            table.SetColor(i, f"{i / (len(colors) - 1):.2f}", red, green, blue, 1)
        table = scene.AddNode(table)
    return table


def _lab_to_rgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """CIELAB (D65) to sRGB [N, 3]; outside 0..1 where sRGB cannot show it."""
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9505, 1.0, 1.089]
    linear = xyz @ np.array(
        [[3.2406, -0.9689, 0.0557], [-1.5372, 1.8758, -0.2040], [-0.4986, 0.0415, 1.0570]]
    )
    curved = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, curved, 12.92 * linear)
