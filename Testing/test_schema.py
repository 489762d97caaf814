"""Label schemas: built in, from dataset.json, converted into each other, changed by users."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import (
    IGNORE_INDEX,
    LabelSchema,
    Structure,
    built_in_schema,
    built_in_schemas,
    schema_from_dataset_json,
    schema_from_dict,
)


def small_schema(**changes: object) -> LabelSchema:
    content: dict[str, object] = {
        "name": "small",
        "structures": [
            {"value": 30, "name": "L5", "full_name": "Lumbar Vertebra 5", "kind": "vertebra"},
            {"value": 7, "name": "L5/S", "kind": "disc"},
        ],
        "ignore_value": 200,
    }
    return schema_from_dict({**content, **changes})


def test_mrspineseg_has_the_19_structures_in_the_papers_values() -> None:
    schema = built_in_schema("mrspineseg")
    assert schema.class_count == 20
    vertebrae = ["S", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9"]
    discs = ["L5/S", "L4/L5", "L3/L4", "L2/L3", "L1/L2", "T12/L1", "T11/T12", "T10/T11", "T9/T10"]
    assert [(s.value, s.name) for s in schema.structures] == list(enumerate(vertebrae + discs, 1))
    assert [s.kind for s in schema.structures] == ["vertebra"] * 10 + ["disc"] * 9
    assert schema.prompts[2] == "A magnetic resonance image of a Lumbar Vertebra 5."
    assert schema.prompts[0] == "A magnetic resonance image of a Background."


def test_codes_are_those_of_the_terminology() -> None:
    by_name = {s.name: s for s in built_in_schema("mrspineseg").structures}
    assert by_name["S"].code == "54735007"
    assert by_name["L5"].code == "49668003"
    assert by_name["L5/S"].code == "715056000"
    assert by_name["T9/T10"].code == "113209001"
    assert all(s.code for s in by_name.values())


@pytest.mark.parametrize("name", built_in_schemas())
def test_built_in_schemas_alternate_vertebra_and_disc_upwards(name: str) -> None:
    schema = built_in_schema(name)
    orders = [s.order for s in schema.structures if s.order is not None]
    assert len(set(orders)) == len(orders)
    for structure in schema.structures:
        if structure.kind == "vertebra":
            assert structure.order is not None and structure.order % 2 == 0
        elif structure.kind == "disc":
            assert structure.order is not None and structure.order % 2 == 1
    colors = {s.color for s in schema.structures}
    assert len(colors) == len(schema.structures)


def test_order_along_the_spine_starts_at_the_sacrum() -> None:
    schema = built_in_schema("mrspineseg")
    names = [schema.class_names[i] for i in schema.ordered_indices()]
    assert names[:5] == ["S", "L5/S", "L5", "L4/L5", "L4"]
    assert names[-2:] == ["T9/T10", "T9"]


def test_same_structure_has_the_same_colour_and_code_in_every_built_in_schema() -> None:
    first = {s.name: s for s in built_in_schema("mrspineseg").structures}
    for other in ("spider", "totalspineseg"):
        for structure in built_in_schema(other).structures:
            if structure.name in first:
                mine = first[structure.name]
                assert (structure.color, structure.code, structure.order) == (
                    mine.color,
                    mine.code,
                    mine.order,
                )


def test_unknown_built_in_lists_the_known_ones() -> None:
    with pytest.raises(CPS4Error, match="mrspineseg, spider, totalspineseg"):
        built_in_schema("nothing")


def test_values_and_class_indices_convert_both_ways() -> None:
    schema = small_schema()
    labels = np.array([[0, 30], [7, 200]], dtype=np.int16)
    indices = schema.to_indices(labels)
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[0, 1], [2, IGNORE_INDEX]]
    assert schema.to_values(indices).tolist() == labels.tolist()


def test_large_values_need_a_larger_type() -> None:
    schema = schema_from_dict(
        {"name": "x", "structures": [{"value": 1201, "name": "a"}, {"value": 3, "name": "b"}]}
    )
    values = schema.to_values(np.array([0, 1, 2], dtype=np.uint8))
    assert values.tolist() == [0, 1201, 3]


@pytest.mark.parametrize("foreign", [5, -1, 300])
def test_foreign_values_are_named(foreign: int) -> None:
    labels = np.array([0, 7, foreign], dtype=np.int16)
    schema = small_schema()
    assert schema.foreign_values(labels) == [foreign]
    with pytest.raises(CPS4Error, match=str(foreign)):
        schema.to_indices(labels)
    with pytest.raises(CPS4Error, match=str(foreign)):
        schema.remap(labels, built_in_schema("mrspineseg"))


@pytest.mark.parametrize(
    ("source", "target", "labels", "expected"),
    [
        # L5, L1, T9, canal, L5/S disc, T9/T10 disc
        ("spider", "mrspineseg", [0, 1, 5, 9, 100, 201, 209], [0, 2, 6, 10, 0, 11, 19]),
        # S, L5, L1, T12, T9, L5/S, L4/L5, T12/L1, T9/T10; cord and C1 have no place there
        (
            "totalspineseg",
            "mrspineseg",
            [50, 45, 41, 32, 29, 100, 95, 91, 80, 1, 11],
            [1, 2, 6, 7, 10, 11, 12, 16, 19, 0, 0],
        ),
        ("mrspineseg", "spider", [2, 6, 10, 11, 19, 1], [1, 5, 9, 201, 209, 0]),
        ("mrspineseg", "totalspineseg", [1, 2, 7, 11, 16], [50, 45, 32, 100, 91]),
    ],
)
def test_remapping_follows_the_anatomy(
    source: str, target: str, labels: list[int], expected: list[int]
) -> None:
    remapped = built_in_schema(source).remap(np.array(labels), built_in_schema(target))
    assert remapped.tolist() == expected


def test_a_level_that_the_target_lacks_is_ignored_not_background() -> None:
    target = small_schema()
    spider = built_in_schema("spider")
    remapped = spider.remap(np.array([1, 2, 201, 202, 100]), target)
    assert remapped.tolist() == [30, 200, 7, 200, 0]


def test_mrspineseg_survives_a_round_trip_through_totalspineseg() -> None:
    schema, other = built_in_schema("mrspineseg"), built_in_schema("totalspineseg")
    labels = np.arange(20)
    assert other.remap(schema.remap(labels, other), schema).tolist() == labels.tolist()


def test_plain_nnunet_dataset_json_is_understood(tmp_path: Path) -> None:
    labels = {"background": 0, "L5": 4, "Lumbar_Vertebra 4": 9, "fat": 2, "L5/S": 3, "ignore": 11}
    schema = schema_from_dataset_json({"name": "own", "labels": labels}, tmp_path / "dataset.json")
    assert schema.name == "own"
    assert schema.class_names == ["Background", "L5", "Lumbar_Vertebra 4", "fat", "L5/S"]
    assert schema.ignore_value == 11
    l5, l4, fat, disc = schema.structures
    assert (l5.value, l5.full_name, l5.kind, l5.code) == (
        4,
        "Lumbar Vertebra 5",
        "vertebra",
        "49668003",
    )
    assert (l4.value, l4.code, l4.order) == (9, "11994002", 4)
    assert (fat.kind, fat.code, fat.order) == ("other", None, None)
    assert disc.kind == "disc"
    assert schema.nnunet_labels() == labels


def test_own_full_form_comes_back_from_dataset_json(tmp_path: Path) -> None:
    schema = small_schema(template="MRI of {class name}")
    content = json.loads(json.dumps({"labels": {"x": 1}, "cps4_schema": schema.to_dict()}))
    assert schema_from_dataset_json(content, tmp_path / "dataset.json") == schema


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no table 'labels'"),
        ({"labels": {}}, "no table 'labels'"),
        ({"labels": {"0": "background", "1": "L5"}}, "not one integer"),
        ({"labels": {"background": 0, "spine": [1, 2]}}, "Region-based"),
        ({"labels": {"background": 0, "L5": 1, "L4": 1}}, r"value \['1'\] twice"),
        ({"labels": {"background": 0}}, "1 to 254 structures"),
        ({"cps4_schema": {"name": "x"}}, "structures"),
        ({"cps4_schema": {"name": "x", "structures": [{"name": "a"}]}}, "value"),
    ],
)
def test_bad_dataset_json_says_what_is_wrong(
    content: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CPS4Error, match=said):
        schema_from_dataset_json(content, tmp_path / "dataset.json")


def _two(first: dict[str, object], second: dict[str, object]) -> list[dict[str, object]]:
    return [{"value": 1, "name": "a", **first}, {"value": 2, "name": "b", **second}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"structures": _two({}, {"value": 1})}, "twice"),
        ({"structures": _two({}, {"name": "a"})}, "twice"),
        ({"structures": _two({}, {"value": 0})}, "twice"),
        ({"structures": _two({}, {}), "ignore_value": 2}, "twice"),
        ({"structures": _two({}, {"kind": "bone"})}, "unknown kind 'bone'"),
        ({"template": "no place for the name"}, "template"),
        ({"structures": []}, "structures"),
    ],
)
def test_contradictory_schemas_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(CPS4Error, match=said):
        small_schema(**changes)


def test_the_user_changes_prompts_without_code() -> None:
    schema = small_schema().with_prompts("T2 image, {class name}", {"l5/s": "lowest disc"})
    assert schema.prompts == ["T2 image, Background", "T2 image, Lumbar Vertebra 5", "lowest disc"]
    with pytest.raises(CPS4Error, match=r"Known names: L5, L5/S"):
        schema.with_prompts(None, {"L9": "x"})


def test_the_user_brings_own_classes() -> None:
    schema = LabelSchema(
        "kidneys",
        (
            Structure(2, "left", "Left Kidney", (255, 0, 0), "other"),
            Structure(1, "right", "Right Kidney", (0, 255, 0), "other", prompt="the right one"),
        ),
    )
    assert schema.class_count == 3
    assert schema.index_of("left kidney") == 1
    assert schema.prompts[1:] == ["A magnetic resonance image of a Left Kidney.", "the right one"]
    assert schema.to_indices(np.array([1, 2])).tolist() == [2, 1]


def test_colours_given_by_us_differ(tmp_path: Path) -> None:
    labels = {"background": 0} | {f"part {i}": i for i in range(1, 41)}
    schema = schema_from_dataset_json({"labels": labels}, tmp_path / "dataset.json")
    assert len({s.color for s in schema.structures}) == 40
