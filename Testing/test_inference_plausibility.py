"""Warnings about spines that cannot be right."""

from __future__ import annotations

import numpy as np
import pytest

from CPS4Core.inference.plausibility import sequence_warnings
from CPS4Core.schema import built_in_schema

SCHEMA = built_in_schema("mrspineseg")
SPACING = (4.0, 1.0, 1.0)
WHOLE = ["T12", "T12/L1", "L1", "L1/L2", "L2", "L2/L3", "L3", "L3/L4", "L4", "L4/L5", "L5"]
WHOLE += ["L5/S", "S"]


def spine(names: list[str | None]) -> np.ndarray:
    """Blocks from the top downwards [5, rows, 40], with a gap between neighbours; None is empty."""
    indices = np.zeros((5, 10 * len(names), 40), np.uint8)
    for place, name in enumerate(names):
        if name:
            indices[1:4, 10 * place : 10 * place + 9, 10:20] = SCHEMA.index_of(name)
    return indices


def said(names: list[str | None]) -> list[str]:
    return sequence_warnings(spine(names), SPACING, SCHEMA)


def changed(**by_name: str | None) -> list[str | None]:
    return [by_name.get(name, name) for name in WHOLE]


def test_a_whole_spine_is_fine() -> None:
    assert said(list(WHOLE)) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([None], "No structure was found"),
        (changed(L3=None), "Missing between S and T12: L3"),
        (changed(T12="L1"), "Found at two places: L1"),
        (changed(L2="L3", L3="L2"), "Out of order: L3 above L2/L3, L2/L3 above L2"),
        (
            list(WHOLE[:-2]),
            "Level anchor not visible: neither S nor L5/S was found, so all levels may be shifted",
        ),
    ],
)
def test_what_cannot_be_right_is_named(names: list[str | None], expected: str) -> None:
    assert expected in said(names)


def test_a_level_is_doubled_above_as_well_as_below() -> None:
    for place in ("T12", "L5"):
        indices = spine(changed(**{place: None}))
        top = 10 * WHOLE.index(place)
        indices[1:4, top : top + 9, 11:19] = SCHEMA.index_of("L2")
        assert "Found at two places: L2" in sequence_warnings(indices, SPACING, SCHEMA)


def test_one_of_both_anchors_is_enough() -> None:
    assert said(list(WHOLE[:-1])) == []


def test_a_speck_does_not_count_as_a_level() -> None:
    indices = spine(changed(L3=None))
    indices[2, 65, 15] = SCHEMA.index_of("L3")
    assert any("L3" in text for text in sequence_warnings(indices, SPACING, SCHEMA))


def test_a_spinous_process_apart_from_its_body_is_no_second_vertebra() -> None:
    indices = spine(list(WHOLE))
    top = 10 * WHOLE.index("L3")
    indices[1:4, top + 2 : top + 8, 28:38] = SCHEMA.index_of("L3")
    assert sequence_warnings(indices, SPACING, SCHEMA) == []
