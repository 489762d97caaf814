"""The extension configured, built and installed by CMake with a stand-in for Slicer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import list_extension_files as lists  # noqa: E402

MODULES = Path("lib", "Slicer-5.10", "qt-scripted-modules")


def cmake(*arguments: str | Path) -> None:
    command = ["cmake", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the scripted modules of a build and of an installation."""
    if not shutil.which("cmake") or not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("needs cmake and a C compiler, which are not on this machine")
    folder = tmp_path_factory.mktemp("extension")
    build, installed = folder / "build", folder / "installed"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    slicer = ROOT / "Testing" / "fake_slicer"
    cmake("-S", ROOT, "-B", build, *generator, f"-DSlicer_DIR={slicer}", "-DBUILD_TESTING=ON")
    cmake("--build", build)
    cmake("--install", build, "--prefix", installed)
    return {"build": build / MODULES, "installed": installed / MODULES}


def run_python(code: str, module_folder: Path, cwd: Path) -> list[str]:
    """Lines that Python prints with only `module_folder` on its path, as in Slicer."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CPS4_MODELS")}
    environment["PYTHONPATH"] = str(module_folder)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_every_file_arrives_and_none_else(trees: dict[str, Path], tree: str) -> None:
    arrived = {p.relative_to(trees[tree]).as_posix() for p in trees[tree].rglob("*") if p.is_file()}
    listed = [
        files for variables in lists.file_lists(ROOT).values() for files in variables.values()
    ]
    assert arrived == {file for files in listed for file in files}


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_core_models_presets_and_schemas_are_found(
    trees: dict[str, Path], tree: str, tmp_path: Path
) -> None:
    code = """
import CPS4Core
from CPS4Core.config import load_config
from CPS4Core.inference.models import installed_models, open_model
from CPS4Core.schema import built_in_schema
print(CPS4Core.__file__)
print(*installed_models().values())
print(open_model(None).schema.name, built_in_schema("spider").name, bool(load_config("best")))
"""
    package, models, names = run_python(code, trees[tree], tmp_path)
    assert Path(package).parent == trees[tree] / "CPS4Core"
    here = trees[tree] / "Resources" / "models"
    assert models.split() == [str(f.parent) for f in sorted(here.glob("*/model.json"))]
    assert models and names.endswith("SPIDER True")


@pytest.mark.parametrize("tree", ["build", "installed", "checkout"])
def test_the_module_finds_its_core(trees: dict[str, Path], tree: str, tmp_path: Path) -> None:
    """A checkout's module folder is what the user names with --additional-module-paths."""
    folder = ROOT / "CPS4Segment" if tree == "checkout" else trees[tree]
    code = "import CPS4SegmentLib, CPS4Core; print(CPS4Core.__file__)"
    (core,) = run_python(code, folder, tmp_path)
    assert Path(core).parents[1] == (ROOT if tree == "checkout" else folder)


def test_an_incomplete_copy_of_the_module_says_so(tmp_path: Path) -> None:
    copy = tmp_path / "somewhere" / "CPS4Segment"
    shutil.copytree(ROOT / "CPS4Segment" / "CPS4SegmentLib", copy / "CPS4SegmentLib")
    code = """
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
try:
    import CPS4SegmentLib
except ImportError as error:
    print(error)
"""
    (said,) = run_python(code, copy, tmp_path)
    assert str(copy.parent) in said and "add the whole checkout" in said
