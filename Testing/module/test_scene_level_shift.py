""" "This one is L5": all levels move together, keep their ids, and can be moved back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from CPS4SegmentLib.level_shift import can_undo_shift, possible_names, shift_levels, undo_shift
from CPS4SegmentLib.segment_tags import code_of, tag
from CPS4SegmentLib.segmentation_import import import_result
from CPS4SegmentLib.structures import list_structures, spine_warnings
from scene_samples import (
    SCHEMA,
    named,
    names_of,
    result_of,
    segment_array,
    spine,
    spine_volume,
    write_labels,
)

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import built_in_schema

LUMBAR = ("L1", "L1/L2", "L2", "L2/L3", "L3", "L3/L4", "L4")
LOWER = ["L2", "L2/L3", "L3", "L3/L4", "L4", "L4/L5", "L5"]


@pytest.fixture
def segmentation(tmp_path: Path) -> Any:
    """L1 to L4, which in truth are L2 to L5."""
    labels = spine(LUMBAR)
    path = write_labels(labels.astype(np.uint8), tmp_path / "labels.nrrd")
    return import_result(result_of(path, warnings=["Level uncertain: L4"]), spine_volume(labels))


def looks(segmentation: Any) -> list[tuple[Any, ...]]:
    contents = segmentation.GetSegmentation()
    return [
        (i, s.GetName(), tuple(np.round(s.GetColor(), 4)), code_of(s), tag(s, "CPS4.Value"))
        for i, s in ((i, contents.GetSegment(i)) for i in contents.GetSegmentIDs())
    ]


def test_one_step_renames_vertebrae_and_discs_together(segmentation: Any) -> None:
    volume = slicer.util.getNode("Case 1")
    before = segment_array(segmentation, "L4", volume)
    lines = shift_levels(segmentation, "Segment_3", "L5")
    assert names_of(segmentation) == LOWER
    assert lines[0] == "L1 is now L2" and lines[-1] == "L4 is now L5" and len(lines) == 7
    assert (segment_array(segmentation, "L5", volume) == before).all()
    segment = named(segmentation, "L5")
    assert segmentation.GetSegmentation().GetSegmentIdBySegment(segment) == "Segment_3"
    structure = SCHEMA.structures[SCHEMA.index_of("L5") - 1]
    assert code_of(segment) == structure.code
    assert segment.GetColor() == pytest.approx([c / 255 for c in structure.color])
    rows = list_structures(segmentation)
    assert all(r.named_by_hand and r.confidence is None for r in rows)
    assert not any("uncertain" in w for w in spine_warnings(segmentation))


def test_a_disc_can_be_named_as_well(segmentation: Any) -> None:
    shift_levels(segmentation, "Segment_13", "L4/L5")
    assert names_of(segmentation) == LOWER


def test_undo_goes_back_step_by_step(segmentation: Any) -> None:
    assert not can_undo_shift(segmentation)
    first = looks(segmentation)
    shift_levels(segmentation, "Segment_3", "L5")
    second = looks(segmentation)
    shift_levels(segmentation, "Segment_3", "L3")
    undo_shift(segmentation)
    assert looks(segmentation) == second and can_undo_shift(segmentation)
    assert undo_shift(segmentation)[-1] == "L5 is L4 again"
    assert looks(segmentation) == first and not can_undo_shift(segmentation)
    assert list_structures(segmentation)[-1].confidence == pytest.approx(0.87)
    assert "Level uncertain: L4" in spine_warnings(segmentation)
    with pytest.raises(CPS4Error, match="no level shift to undo"):
        undo_shift(segmentation)


def test_undo_leaves_alone_what_was_removed_or_renamed_since(segmentation: Any) -> None:
    shift_levels(segmentation, "Segment_3", "L5")
    segmentation.GetSegmentation().RemoveSegment("Segment_6")
    named(segmentation, "L3").SetName("T9")
    undo_shift(segmentation)
    assert names_of(segmentation) == ["L1/L2", "T9", "L2/L3", "L3", "L3/L4", "L4"]


def test_a_shift_beyond_the_schema_changes_nothing(segmentation: Any) -> None:
    before = looks(segmentation)
    with pytest.raises(CPS4Error, match="L1, L1/L2 cannot move 5 levels up: the names of MRSpi"):
        shift_levels(segmentation, "Segment_3", "T11")
    with pytest.raises(CPS4Error, match="L4 is a vertebra and cannot become L4/L5"):
        shift_levels(segmentation, "Segment_3", "L4/L5")
    with pytest.raises(CPS4Error, match="No structure 'L9'"):
        shift_levels(segmentation, "Segment_3", "L9")
    assert shift_levels(segmentation, "Segment_3", "L4") == []
    assert looks(segmentation) == before and not can_undo_shift(segmentation)


def test_only_names_of_the_same_kind_are_offered(segmentation: Any) -> None:
    vertebrae = possible_names(segmentation, "Segment_3")
    assert vertebrae == ["T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S"]
    assert possible_names(segmentation, "Segment_13")[-1] == "L5/S"
    segmentation.GetSegmentation().AddEmptySegment("new", "osteophyte")
    assert possible_names(segmentation, "new") == []


def test_structures_without_a_level_stay_as_they_are(tmp_path: Path) -> None:
    schema = built_in_schema("spider")
    labels = spine(("L2", "L2/L3", "L3"), schema)
    labels[:, :, 17] = 100  # the canal
    path = write_labels(labels, tmp_path / "labels.nrrd")
    segmentation = import_result(result_of(path, schema), spine_volume(labels))
    shift_levels(segmentation, "Segment_3", "L4")
    assert names_of(segmentation) == ["L3", "L3/L4", "L4", "canal"]
    with pytest.raises(CPS4Error, match="'canal' is no level of the spine"):
        shift_levels(segmentation, "Segment_100", "L4")


def test_a_new_result_starts_without_shifts(segmentation: Any, tmp_path: Path) -> None:
    shift_levels(segmentation, "Segment_3", "L5")
    result = result_of(tmp_path / "labels.nrrd")
    import_result(result, slicer.util.getNode("Case 1"), segmentation)
    assert not can_undo_shift(segmentation) and names_of(segmentation) == list(LUMBAR)
    assert not any(r.named_by_hand for r in list_structures(segmentation))
