"""The Slicer extension lists, describes and requires what is there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import list_extension_files as lists  # noqa: E402

CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
CATALOGUE = json.loads((ROOT / "CPS4SpineSegment.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", lists.file_lists(ROOT), ids=lambda path: path.name)
def test_the_cmake_lists_hold_every_file_and_no_other(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    cure = "run scripts/list_extension_files.py"
    assert text == lists.with_lists(text, lists.file_lists(ROOT)[path]), cure


def test_the_lists_hold_what_the_core_reads_at_run_time() -> None:
    core = lists.file_lists(ROOT)[ROOT / "CMake" / "CPS4Core.cmake"]
    assert {"CPS4Core/__init__.py", "CPS4Core/cli/main.py"} <= set(core["CORE_SCRIPTS"])
    for part in ("presets/best.yaml", "schemas/mrspineseg.json", "report/templates/"):
        assert any(f.startswith(f"CPS4Core/{part}") for f in core["CORE_RESOURCES"]), part
    models = {f.parent for f in (ROOT / "Resources" / "models").glob("*/model.json")}
    for model in models:
        listed = {
            f for f in core["CORE_RESOURCES"] if f.startswith(f"Resources/models/{model.name}/")
        }
        assert f"Resources/models/{model.name}/network.safetensors" in listed
        assert not any("/openvino/" in f for f in listed), "made on this machine, for this machine"


def test_a_new_and_a_vanished_file_are_noticed(tmp_path: Path) -> None:
    module = tmp_path / "CPS4Segment"
    for name in ("CPS4Segment.py", "Lib/a.py", "Lib/__pycache__/a.pyc", "Resources/UI/b.ui"):
        (module / name).parent.mkdir(parents=True, exist_ok=True)
        (module / name).touch()
    found = lists.file_lists(tmp_path)[module / "CMakeLists.txt"]
    assert found["MODULE_PYTHON_SCRIPTS"] == ["CPS4Segment.py", "Lib/a.py"]
    assert found["MODULE_PYTHON_RESOURCES"] == ["Resources/UI/b.ui"]
    listed = "set(A\n  old.py\n  )\n\nset(B\n  b.ui\n  )\n"
    assert lists.with_lists(listed, {"A": ["new.py"]}) == listed.replace("old.py", "new.py")
    with pytest.raises(ValueError, match="0 lists named C"):
        lists.with_lists(listed, {"C": []})


def test_slicer_finds_one_module_file() -> None:
    """Slicer takes every Python file beside the module's for a module."""
    assert {p.name for p in (ROOT / "CPS4Segment").glob("*.py")} <= {"CPS4Segment.py"}


def test_the_catalogue_entry_fits_its_schema() -> None:
    """The keys of slicer-extension-catalog-entry-schema-v1.0.2.json."""
    assert CATALOGUE["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    required = {"$schema", "category", "scm_url"}
    known = required | {"scm_revision", "scm_type", "build_dependencies", "dicom_support_rule"}
    known |= {"build_subdirectory", "enabled", "tier"}
    assert required <= set(CATALOGUE) <= known
    assert CATALOGUE["tier"] == 1 and CATALOGUE["scm_type"] == "git"


def test_catalogue_and_cmake_say_the_same() -> None:
    (project,) = re.findall(r"^project\((\w+)\)", CMAKE, flags=re.MULTILINE)
    assert (ROOT / f"{project}.json").is_file() and not project.startswith("Slicer")
    (homepage,) = re.findall(r'set\(EXTENSION_HOMEPAGE "(.+)"\)', CMAKE)
    assert CATALOGUE["scm_url"] == f"{homepage}.git"
    (depends,) = re.findall(r'set\(EXTENSION_DEPENDS "(.+)"\)', CMAKE)
    assert CATALOGUE["build_dependencies"] == depends.split()
    (category,) = re.findall(r'set\(EXTENSION_CATEGORY "(.+)"\)', CMAKE)
    assert CATALOGUE["category"] == category


def test_pictures_that_the_extension_names_are_there() -> None:
    named = re.findall(r"raw/main/(\S+\.png)", CMAKE)
    assert len(named) >= 2
    for path in named:
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    "path",
    ["Resources/Icons/CPS4SpineSegment.png", "CPS4Segment/Resources/Icons/CPS4Segment.png"],
)
def test_icons_have_slicers_size_and_a_clear_ground(path: str) -> None:
    with Image.open(ROOT / path) as icon:
        assert icon.size == (128, 128) and icon.mode == "RGBA"
        assert icon.getpixel((0, 0))[3] == 0
