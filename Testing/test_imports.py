"""Imports run one way, and the core stands without Slicer, Qt and heavy imports at its start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "CPS4Core"
TRAINING = ("CPS4Core.training", "CPS4Core.methods", "CPS4Core.pretrain")
INFERENCE = (
    "inference",
    "networks",
    "prompt_maps",
    "encoders",
    "volumes",
    "schema",
    "model_folder",
    "worker",
)
SLICER = {"slicer", "qt", "ctk", "vtk", "PythonQt", "PyQt5", "PyQt6", "PySide2", "PySide6"}
HEAVY = ("torch", "timm", "transformers", "monai", "matplotlib", "SimpleITK", "skimage", "openvino")


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[str]:
    """Full names of what a file imports, in functions too; type checking does not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module_name(file) if file.name == "__init__.py" else module_name(file.parent)
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join([*above, node.module or ""]).strip(".") if node.level else node.module
            assert origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def known_modules() -> dict[str, Path]:
    return {module_name(file): file for file in PACKAGE.rglob("*.py")}


def reached_from(starts: list[str]) -> dict[str, str]:
    """Our modules that the starts import, directly or not, each with the module that wants it."""
    modules = known_modules()
    reached, waiting = dict.fromkeys(starts, "the start"), list(starts)
    while waiting:
        current = waiting.pop()
        for name in imports_of(modules[current]):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and name not in reached:
                reached[name] = current
                waiting.append(name)
    return reached


def test_the_walk_sees_imports_of_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "CPS4Core"
    for name, text in {
        "__init__": "",
        "inference/__init__": "",
        "inference/run": "def f():\n    from ..networks import net\n",
        "networks/__init__": "",
        "networks/net": "import CPS4Core.training.loop as loop\n",
        "training/__init__": "",
        "training/loop": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    reached = reached_from(["CPS4Core.inference.run"])
    assert reached["CPS4Core.training.loop"] == "CPS4Core.networks.net"


def test_inference_never_reaches_training() -> None:
    parts = {name: name.split(".") for name in known_modules()}
    starts = [name for name, (_, *inner) in parts.items() if inner and inner[0] in INFERENCE]
    starts += [name for name in parts if name in ("CPS4Core.cli.segment", "CPS4Core.cli.maps")]
    assert starts
    for name, wanted_by in reached_from(starts).items():
        assert not name.startswith(TRAINING), f"{wanted_by} imports {name}"


def test_the_core_knows_neither_slicer_nor_qt() -> None:
    files = list(PACKAGE.rglob("*.py"))
    assert files
    for file in files:
        foreign = {name.split(".")[0] for name in imports_of(file)} & SLICER
        assert not foreign, f"{file} imports {foreign}"


def test_help_imports_nothing_heavy() -> None:
    """The start of `cps4 --help` with all commands; what it may cost is told by what it imports."""
    code = (
        "import sys\n"
        "from CPS4Core.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1].strip() == "heavy:"


def test_timm_can_be_imported_beside_any_build_of_torch() -> None:
    """In a process of its own, so that no earlier import has mended it."""
    code = (
        "from CPS4Core.encoders.torchvision_import import import_timm\n"
        "assert import_timm().create_model('vit_tiny_patch16_224', num_classes=0)\n"
        "from torchvision.ops import nms\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_timm_is_imported_in_one_place_only() -> None:
    for name, file in known_modules().items():
        if name != "CPS4Core.encoders.torchvision_import":
            direct = {i for i in imports_of(file) if i.split(".")[0] in ("timm", "torchvision")}
            assert not direct, f"{file} imports {direct}; take import_timm() instead"
