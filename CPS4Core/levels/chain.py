"""The structures along the spine from the sacrum upwards, with their usual heights."""

from __future__ import annotations

from dataclasses import dataclass

from CPS4Core.schema import LabelSchema

SACRUM_ORDER, ANCHOR_DISC_ORDER = 0, 1
UNNAMED_LEVELS = 12
"""Levels that may follow above the last name of a schema (a whole spine, a shifted count)."""


@dataclass(frozen=True)
class Link:
    """One place along the spine. `index` is its class index, 0 where the schema has no name."""

    index: int
    order: int
    is_disc: bool
    height: float

    @property
    def is_sacrum(self) -> bool:
        """The sacrum is one structure of several segments, so its height says little."""
        return self.order == SACRUM_ORDER and not self.is_disc


def level_chain(schema: LabelSchema) -> list[Link]:
    """Vertebrae and discs in turn, upwards; gaps in the schema are filled with unnamed links."""
    chain: list[Link] = []
    for index in schema.ordered_indices():
        structure = schema.structures[index - 1]
        if structure.kind == "other" or structure.order is None:
            continue
        is_disc = structure.kind == "disc"
        if chain and chain[-1].is_disc == is_disc:
            chain.append(_link(0, structure.order - 1, not is_disc))
        chain.append(_link(index, structure.order, is_disc))
    for _ in range(2 * UNNAMED_LEVELS if chain else 0):
        chain.append(_link(0, chain[-1].order + 1, not chain[-1].is_disc))
    return chain


def _link(index: int, order: int, is_disc: bool) -> Link:
    # Straight lines through typical adult heights: discs from L4/L5 and bodies from L5 upwards.
    height = max(4.0, 11 - 0.4 * (order - 3)) if is_disc else max(13.0, 28 - 0.35 * (order - 2))
    return Link(index, order, is_disc, height)
