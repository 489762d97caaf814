"""Level decoding for other label schemas than the built-in ones."""

from __future__ import annotations

import numpy as np
from level_samples import SCHEMA, Sample, sample, soft

from CPS4Core.levels import decode_levels
from CPS4Core.levels.chain import level_chain
from CPS4Core.schema import LabelSchema, Structure


def made_schema(names: list[str]) -> LabelSchema:
    """Some structures of the built-in schema in another order, and a canal without a level."""
    structures = [
        Structure(10 * v, s.name, s.full_name, s.color, s.kind, order=s.order)
        for v, s in enumerate((SCHEMA.structures[SCHEMA.index_of(n) - 1] for n in names), 1)
    ]
    canal = Structure(7, "canal", "Spinal canal", (0, 0, 255), "other")
    return LabelSchema("made", (canal, *structures))


def case_of(schema: LabelSchema, seed: int) -> Sample:
    """A phantom in a schema, the canal as a box behind everything."""
    spine = sample(seed)
    truth = np.zeros_like(spine.truth)
    for name in schema.class_names[2:]:
        truth[spine.truth == SCHEMA.index_of(name)] = schema.index_of(name)
    truth[:, 4:8, 4:8] = schema.index_of("canal")
    return Sample(truth, soft(truth, schema.class_count), spine.spacing, schema)


def test_four_levels_and_a_canal() -> None:
    schema = made_schema(["L4", "L5", "L4/L5", "L5/S"])
    case = case_of(schema, 2)
    spoiled = case.renamed({"L4": "L5", "L5": "L4", "L4/L5": "L5/S", "L5/S": "L4/L5"})
    assert spoiled.right(spoiled.maps.argmax(axis=1)) < 0.2
    result = decode_levels(spoiled.maps, spoiled.spacing, schema)
    assert [s.name for s in result.structures][:4] == ["L5/S", "L5", "L4/L5", "L4"]
    assert case.right(result.labels) > 0.95
    canal = schema.index_of("canal")
    assert (result.labels[:, 5:7, 5:7] == canal).all()


def test_vertebrae_without_discs() -> None:
    schema = made_schema(["S", "L5", "L4", "L3", "L2", "L1", "T12"])
    case = case_of(schema, 1).renamed({"L3": "L1", "L1": "L3"})
    result = decode_levels(case.maps, case.spacing, schema)
    assert case.right(result.labels) > 0.95
    assert not any("/" in s.name for s in result.structures)


def test_chain_fills_what_the_schema_lacks() -> None:
    chain = level_chain(made_schema(["L5", "L4", "L3/L4"]))
    assert [k.is_disc for k in chain] == [i % 2 == 1 for i in range(len(chain))]
    assert [bool(k.index) for k in chain[:5]] == [True, False, True, True, False]


def test_a_schema_without_levels_is_left_alone() -> None:
    canal = Structure(1, "canal", "Spinal canal", (0, 0, 255), "other")
    schema = LabelSchema("canal only", (canal,))
    maps = np.zeros((2, 2, 20, 20), np.float32)
    maps[:, 1] = 1
    result = decode_levels(maps, (4.0, 2.0, 2.0), schema)
    assert (result.labels == 1).all() and result.warnings
