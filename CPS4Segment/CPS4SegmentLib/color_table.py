"""The label schema of a segmentation, and a schema as Slicer's colour table."""

from __future__ import annotations

import json
from typing import Any

import slicer

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import LabelSchema, built_in_schema, built_in_schemas, schema_from_dict
from CPS4Core.volumes.segmentation import segments_of, terminology_entry
from CPS4SegmentLib.result_record import RESULT, read_record, segments
from CPS4SegmentLib.segment_tags import segment_value

SCHEMA = "CPS4.Schema"
"""Attribute of a colour table node: the schema that it shows."""


def color_node(schema: LabelSchema, scene: Any = None) -> Any:
    """The scene's vtkMRMLColorTableNode of the schema: index = value, with colours and codes.

    Made if the scene has none yet.
    """
    scene = scene or slicer.mrmlScene
    text = json.dumps(schema.to_dict(), sort_keys=True)
    tables = scene.GetNodesByClass("vtkMRMLColorTableNode")
    tables.UnRegister(None)
    for i in range(tables.GetNumberOfItems()):
        if tables.GetItemAsObject(i).GetAttribute(SCHEMA) == text:
            return tables.GetItemAsObject(i)
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetName(f"CPS4 {schema.name}")
    table.SetAttribute(SCHEMA, text)
    structures = segments_of(schema)
    table.SetNumberOfColors(1 + max(s.value for s in structures))
    table.GetLookupTable().SetTableRange(0, table.GetNumberOfColors() - 1)
    for s in structures:
        table.SetColor(s.value, s.name, *(channel / 255 for channel in s.color), 1)
        entry = terminology_entry(s)
        if entry is not None:
            table.SetTerminologyFromString(s.value, entry)
    return scene.AddNode(table)


def schema_of(segmentation: Any) -> LabelSchema:
    """The schema of a segmentation node: its result's, else a built-in one that knows all segments.

    Raises CPS4Error where there is neither.
    """
    result = read_record(segmentation, RESULT)
    if result and "schema" in result:
        return schema_from_dict(result["schema"])
    own = segments(segmentation).values()
    for name in built_in_schemas() if own else []:
        schema = built_in_schema(name)
        if all(segment_value(schema, segment) is not None for segment in own):
            return schema
    raise CPS4Error(
        f"The segmentation '{segmentation.GetName()}' was not made by CPS4 Spine Segment",
        cure="Choose one that was, or name its segments like vertebrae and discs (L5, L4/L5, ...)",
    )
