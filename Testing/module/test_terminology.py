"""Slicer resolves our segments: names, SNOMED CT codes and colours of vertebrae and discs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "scripts", ROOT / "CPS4Segment"):
    sys.path.insert(0, str(folder))

import make_terminologies as made  # noqa: E402

from CPS4Core.schema import Structure, built_in_schema, built_in_schemas  # noqa: E402
from CPS4Core.volumes.segmentation import (  # noqa: E402
    TERMINOLOGY,
    describe_segments,
    segments_of,
)

CODED = made.coded_structures()


@pytest.fixture
def logic(monkeypatch: pytest.MonkeyPatch) -> object:
    """Slicer's terminologies with ours loaded, as at the module's start."""
    from types import SimpleNamespace

    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    logic.SetMRMLScene(slicer.vtkMRMLScene())
    module = SimpleNamespace(logic=lambda: logic)
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(terminologies=module), raising=False)
    from CPS4SegmentLib.terminology import load_terminology

    assert not logic.IsTerminologyContextLoaded(TERMINOLOGY)
    assert load_terminology() == [TERMINOLOGY]
    assert load_terminology() == [TERMINOLOGY], "a reloaded module loads it again"
    return logic


def test_the_files_are_what_the_schemas_say() -> None:
    for path, text in made.contents().items():
        assert path.read_text(encoding="utf-8") == text, "run scripts/make_terminologies.py"


def test_every_level_that_our_models_name_is_listed() -> None:
    assert [s.name for s in CODED][:4] == ["S", "L5/S", "L5", "L4/L5"]
    assert {s.name for s in CODED} == {s.name for s in built_in_schema("mrspineseg").structures}


def test_slicer_reads_one_category_with_all_types(logic: object) -> None:
    assert logic.GetNumberOfCategoriesInTerminology(TERMINOLOGY) == 1
    category = slicer.vtkSlicerTerminologyCategory()
    assert logic.GetNthCategoryInTerminology(TERMINOLOGY, 0, category)
    assert category.GetCodeValue() == "123037004"
    assert logic.GetNumberOfTypesInTerminologyCategory(TERMINOLOGY, category) == len(CODED)


@pytest.mark.parametrize("structure", CODED, ids=lambda s: s.name)
def test_slicer_finds_a_structure_by_its_label(logic: object, structure: Structure) -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(TERMINOLOGY, structure.name, entry)
    found = entry.GetTypeObject()
    assert found.GetCodingSchemeDesignator() == "SCT"
    assert found.GetCodeValue() == structure.code
    assert found.GetCodeMeaning() == structure.full_name
    assert tuple(found.GetRecommendedDisplayRGBValue()) == structure.color


def test_a_written_segmentation_resolves_in_slicer(logic: object, tmp_path: Path) -> None:
    schema = built_in_schema("mrspineseg")
    values = [s.value for s in schema.structures]
    image = sitk.GetImageFromArray(np.array(values, np.uint8).reshape(1, 1, -1))
    describe_segments(image, segments_of(schema))
    path = tmp_path / "case.seg.nrrd"
    sitk.WriteImage(image, str(path))
    node = slicer.vtkMRMLSegmentationNode()
    scene = slicer.vtkMRMLScene()
    scene.AddNode(node)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(values)
    for index, structure in enumerate(schema.structures):
        segment = segmentation.GetNthSegment(index)
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        assert entry.GetTerminologyContextName() == TERMINOLOGY
        entry.GetTypeObject().SetRecommendedDisplayRGBValue((1, 2, 3))
        assert logic.UpdateEntryFromLoadedTerminologies(entry, [], [])
        assert tuple(entry.GetTypeObject().GetRecommendedDisplayRGBValue()) == structure.color
        assert tuple(round(255 * c) for c in segment.GetColor()) == structure.color
        assert structure.full_name in logic.GetInfoStringFromTerminologyEntry(entry)


def test_the_module_loads_it_when_slicer_has_started(load_module: Any) -> None:
    logic = slicer.modules.terminologies.logic()
    load_module(ROOT / "CPS4Segment" / "CPS4Segment.py")
    slicer.app.startupCompleted.emit()
    assert logic.IsTerminologyContextLoaded(TERMINOLOGY)


@pytest.mark.parametrize("name", built_in_schemas())
def test_slicer_loads_the_color_tables(name: str) -> None:
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLScene(slicer.vtkMRMLScene())
    file = made.RESOURCES / "ColorTables" / f"CPS4-{name}.csv"
    node = colors.LoadColorFile(str(file), file.stem)
    assert node.GetContainsTerminology()
    schema = built_in_schema(name)
    for structure in schema.structures:
        rgba = [0.0] * 4
        node.GetColor(structure.value, rgba)
        assert node.GetColorName(structure.value) == structure.name
        assert tuple(round(255 * c) for c in rgba[:3]) == structure.color
        entry = slicer.vtkSlicerTerminologyEntry()
        slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(
            node.GetTerminologyAsString(structure.value), entry
        )
        assert (entry.GetTypeObject().GetCodeValue() or None) == structure.code
    gaps = set(range(1, node.GetNumberOfColors())) - {s.value for s in schema.structures}
    assert not any(node.GetColorDefined(value) for value in gaps)
