"""Does an input look like what the model was made for: a spine, upright, in a T2-weighted scan.

Nothing here changes a label. Each doubt is a sentence for a person, and lowers the confidences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.engine import Engine
from CPS4Core.schema import LabelSchema

if TYPE_CHECKING:
    from CPS4Core.levels import DecodedLevels

LOWEST_VIEW = 100.0
"""Height in mm below which a view shows about two vertebrae and no sequence to count in."""
FEWEST_VERTEBRAE = 3
WEAKEST_COLUMN = 0.5
"""Mean evidence of the found structures: .63 and more in real spines, .55 and less elsewhere."""
DULLEST_FLUID = 1.1
"""Canal against vertebrae; 1.26 and more in real T2 volumes, 1.03 and less in inverted ones."""
SEEN = 0.25
"""Evidence from which a structure counts as seen and not merely inferred."""
DOUBT = 0.5
"""Factor of the confidences for each doubt."""

TURNED_SLICES = 5
TURNED_BELOW, TURNED_BETTER, TURNED_SURE, TURNED_LEAST = 0.6, 1.4, 0.55, 6
"""Mean confidence below which turned copies are tried, and what one needs to be believed: so many
times the score of the copy as stored, this mean score, this many structures."""
TURNS = {
    "upside down": (1,),
    "turned by 180 degrees (head and feet, front and back exchanged)": (1, 2),
    "mirrored front to back": (2,),
}
"""What is exchanged, as axes of working slices [S, h, w]."""


@dataclass(frozen=True)
class Doubts:
    """Sentences for a person, and the factor that they leave of the confidences."""

    warnings: list[str]

    @property
    def factor(self) -> float:
        """1 without doubts, `DOUBT` for each of them."""
        return float(DOUBT ** len(self.warnings))


def empty_slices(array: np.ndarray) -> np.ndarray:
    """Which slices of [S, R, C] hold one value throughout, [S] bool."""
    flat = array.reshape(len(array), -1)
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))


def filled_span(empty: np.ndarray) -> slice:
    """From the first to the last slice that shows anything; raises CPS4Error where none does."""
    filled = np.flatnonzero(~empty)
    if not len(filled):
        raise CPS4Error(
            "Every sagittal slice has only one value", cure="Export or copy the volume once more"
        )
    return slice(int(filled[0]), int(filled[-1]) + 1)


def without_empty(softmax: Iterator[np.ndarray], empty: np.ndarray) -> Iterator[np.ndarray]:
    """Softmax [K, h, w] of each slice, background where the slice is empty.

    Networks have seen no empty slice and answer at random.
    """
    for probabilities, nothing in zip(softmax, empty, strict=True):
        if nothing:
            probabilities = np.zeros_like(probabilities)
            probabilities[0] = 1
        yield probabilities


def view_warnings(empty: np.ndarray, height_mm: float) -> list[str]:
    """What is odd about the volume before anything is known of its content."""
    warnings = []
    if empty.any():
        warnings.append(
            f"{int(empty.sum())} of {len(empty)} slices are empty (one value throughout); nothing "
            "is labelled there"
        )
    if height_mm < LOWEST_VIEW:
        warnings.append(
            f"The view is only {height_mm:.0f} mm high: too few vertebrae to count levels"
        )
    return warnings


def content_doubts(
    decoded: DecodedLevels,
    working: np.ndarray,
    spacing: tuple[float, float, float],
    schema: LabelSchema,
) -> Doubts:
    """Doubts about what was found.

    Parameters
    ----------
    working: working slices [S, h, w] uint8. spacing: their (slice, row, col) in mm.
    """
    found = decoded.structures
    if not found:
        return Doubts([])  # the decoding says itself that there is no column
    warnings = []
    vertebrae = [
        s for s in found if schema.structures[s.index - 1].kind == "vertebra" and s.evidence >= SEEN
    ]
    if float(np.mean([s.evidence for s in found])) < WEAKEST_COLUMN:
        warnings.append(
            "Hardly a spine: what was found looks little like vertebrae and discs, so its labels "
            "are of no use unless a person confirms them"
        )
    if len(vertebrae) < FEWEST_VERTEBRAE:
        warnings.append(
            f"Few structures seen: {len(vertebrae)} "
            f"{'vertebra' if len(vertebrae) == 1 else 'vertebrae'} cannot tell their own level"
        )
    else:
        ratio = _fluid_ratio([s.middle for s in vertebrae], working, spacing)
        if ratio is not None and ratio < DULLEST_FLUID:
            warnings.append(
                "Perhaps not T2-weighted: the spinal canal is not brighter than the vertebrae "
                f"(ratio {ratio:.2f}); the model may never have seen this sequence"
            )
    return Doubts(warnings)


def turned_doubts(
    engine: Engine,
    decoded: DecodedLevels,
    working: np.ndarray,
    kept: np.ndarray,
    spacing: tuple[float, float, float],
    schema: LabelSchema,
    content: tuple[int, int, int, int],
) -> Doubts:
    """Whether the volume decodes better when turned; tried on a few slices, and only in doubt.

    Parameters
    ----------
    working: working slices [S, h, w] uint8; kept: their probabilities [S, K, h, w].
    content: where the image lies in them: (top, left, height, width).
    """
    sure = [s.confidence for s in decoded.structures]
    if sure and float(np.mean(sure)) >= TURNED_BELOW:
        return Doubts([])
    from CPS4Core.levels import decode_levels

    start = _fullest(kept, TURNED_SLICES)
    part = slice(start, start + TURNED_SLICES)
    shape = (working.shape[1], working.shape[2])

    def score(probabilities: np.ndarray, inside: tuple[int, int, int, int]) -> tuple[float, int]:
        found = decode_levels(probabilities, spacing, schema, content=inside).structures
        return sum(s.evidence * s.confidence for s in found), len(found)

    upright, _ = score(kept[part], content)
    best, best_name = 0.0, ""
    for name, axes in TURNS.items():
        turned = np.ascontiguousarray(np.flip(working[part], axes))
        seen = np.stack([p.astype(np.float16) for p in engine.each(turned)])
        found, count = score(seen, _turned_content(content, shape, axes))
        if count >= TURNED_LEAST and found / count >= TURNED_SURE and found > best:
            best, best_name = found, name
    if best < TURNED_BETTER * upright or not best_name:
        return Doubts([])
    return Doubts(
        [
            f"Looks {best_name}: the levels decode better when the volume is turned (score "
            f"{best:.1f} against {upright:.1f}). Check the orientation in its header"
        ]
    )


def _fullest(kept: np.ndarray, count: int) -> int:
    """First of `count` neighbouring slices with the most structure in them."""
    mass = 1 - kept[:, 0].mean(axis=(1, 2), dtype=np.float32)
    if len(mass) <= count:
        return 0
    return int(np.convolve(mass, np.ones(count), "valid").argmax())


def _turned_content(
    content: tuple[int, int, int, int], shape: tuple[int, int], axes: tuple[int, ...]
) -> tuple[int, int, int, int]:
    top, left, height, width = content
    if 1 in axes:
        top = shape[0] - top - height
    if 2 in axes:
        left = shape[1] - left - width
    return top, left, height, width


def _fluid_ratio(
    middles: list[tuple[float, float, float]],
    working: np.ndarray,
    spacing: tuple[float, float, float],
) -> float | None:
    """Median over vertebrae of the canal's brightest 6 mm against the body, in one slice each.

    middles: of the vertebrae, in mm along (slice, row, col). The canal is looked for 17 to 32 mm
    behind a middle, about where a body's back half ends. None where the image ends before.
    """
    slice_mm, row_mm, col_mm = spacing
    width = max(1, round(6 / col_mm))
    ratios = []
    for middle in middles:
        plane = working[min(len(working) - 1, max(0, round(middle[0] / slice_mm)))]
        row, col = middle[1] / row_mm, middle[2] / col_mm
        rows = slice(max(0, round(row - 6 / row_mm)), round(row + 6 / row_mm) + 1)

        def band(
            first: float,
            last: float,
            plane: np.ndarray = plane,
            rows: slice = rows,
            col: float = col,
        ) -> np.ndarray:
            left, right = max(0, round(col + first / col_mm)), max(0, round(col + last / col_mm))
            return plane[rows, left : right + 1].astype(np.float32)

        body, canal = band(-10, 10), band(17, 32)
        if body.size and canal.shape[0] and canal.shape[1] >= width:
            across = np.convolve(canal.mean(axis=0), np.full(width, 1 / width), "valid")
            ratios.append(float(across.max()) / (float(np.median(body)) + 1))
    return float(np.median(ratios)) if ratios else None
