"""Writes the module's terminology and colour tables from the built-in label schemas.

    python scripts/make_terminologies.py           # after changing a schema
    python scripts/make_terminologies.py --check   # exit code 1 where a file is out of date

The terminology lists every structure of a built-in schema that has a SNOMED CT code. Each schema
has a colour table in Slicer's CSV format, with its label values.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from CPS4Core.schema import LabelSchema, Structure, built_in_schema, built_in_schemas
from CPS4Core.volumes.segmentation import TERMINOLOGY

RESOURCES = Path(__file__).resolve().parents[1] / "CPS4Segment" / "Resources"
ANATOMICAL_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")
NO_CODE = ("", "", "")
SCHEMA = (
    "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#"
)


def coded_structures() -> list[Structure]:
    """Structures with a code, each once, up the spine."""
    schemas = [built_in_schema(name) for name in built_in_schemas()]
    found: dict[str, Structure] = {}
    for structure in (s for schema in schemas for s in schema.structures if s.code):
        known = found.setdefault(structure.code or "", structure)
        if (known.name, known.color) != (structure.name, structure.color):
            raise ValueError(f"Two schemas differ in name or colour of {structure.code}")
    return sorted(found.values(), key=lambda s: (s.order is None, s.order))


def terminology() -> dict[str, Any]:
    """The content of the terminology file, as Slicer's Terminologies module reads it."""
    category = _named_code(*ANATOMICAL_STRUCTURE) | {
        "showAnatomy": False,
        "Type": [
            _named_code("SCT", s.code or "", s.full_name)
            | {"recommendedDisplayRGBValue": list(s.color), "3dSlicerLabel": s.name}
            for s in coded_structures()
        ],
    }
    return {
        "SegmentationCategoryTypeContextName": TERMINOLOGY,
        "@schema": SCHEMA,
        "SegmentationCodes": {"Category": [category]},
    }


def color_table(schema: LabelSchema) -> str:
    """A colour table with terminology: a line per structure, quoted as Slicer writes it."""
    columns = ["LabelValue", "Name", "Color_R", "Color_G", "Color_B", "Color_A"]
    for part in ("Category", "Type", "TypeModifier", "Region", "RegionModifier"):
        columns += [f"{part}_{field}" for field in ("CodingScheme", "CodeValue", "CodeMeaning")]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(columns)
    for s in sorted(schema.structures, key=lambda s: s.value):
        category, kind = NO_CODE, NO_CODE
        if s.code:
            category, kind = ANATOMICAL_STRUCTURE, ("SCT", s.code, s.full_name)
        writer.writerow([s.value, s.name, *s.color, 255, *category, *kind, *NO_CODE * 3])
    return text.getvalue()


def contents() -> dict[Path, str]:
    """Every file that this script writes, with its text."""
    tables = {
        RESOURCES / "ColorTables" / f"CPS4-{name}.csv": color_table(built_in_schema(name))
        for name in built_in_schemas()
    }
    listed = json.dumps(terminology(), indent=2) + "\n"
    return {RESOURCES / "Terminologies" / "CPS4Spine.term.json": listed, **tables}


def main() -> int:
    """Write or check the files; returns 1 where --check finds one out of date."""
    parser = argparse.ArgumentParser(description="Write the terminology and the colour tables.")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is wrong")
    check = parser.parse_args().check
    stale = [
        path
        for path, text in contents().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{path.relative_to(RESOURCES)}: {'out of date' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents()[path], encoding="utf-8")
    return int(check and bool(stale))


def _named_code(scheme: str, value: str, meaning: str) -> dict[str, Any]:
    return {"CodingSchemeDesignator": scheme, "CodeValue": value, "CodeMeaning": meaning}


if __name__ == "__main__":
    sys.exit(main())
