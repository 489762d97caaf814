"""Rewrites the file lists of the Slicer extension in its CMake files.

    python scripts/list_extension_files.py           # after adding or removing a file
    python scripts/list_extension_files.py --check   # says what is out of date; exit code 1

Slicer's build copies what a module lists and nothing else, so that a file missing from a list is
missing from the installed extension.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"__pycache__", "openvino", "CMakeLists.txt"}
"""Compiled files, and models that OpenVINO converted on this machine."""


def files_below(folder: Path, base: Path) -> list[str]:
    """Paths of all files below `folder`, seen from `base`, without hidden and left-out ones."""
    found = (p.relative_to(base) for p in folder.rglob("*") if p.is_file())
    kept = (p for p in found if not any(n in LEFT_OUT or n.startswith(".") for n in p.parts))
    return sorted((p.as_posix() for p in kept), key=lambda path: (path.lower(), path))


def file_lists(root: Path) -> dict[Path, dict[str, list[str]]]:
    """CMake file -> variable -> the files that it has to list, seen from the folder it builds."""
    module = root / "CPS4Segment"
    package = files_below(root / "CPS4Core", root)
    shown = files_below(module, module)
    return {
        root / "CMake" / "CPS4Core.cmake": {
            "CORE_SCRIPTS": [f for f in package if f.endswith(".py")],
            "CORE_RESOURCES": [f for f in package if not f.endswith(".py")]
            + files_below(root / "Resources" / "models", root),
        },
        module / "CMakeLists.txt": {
            "MODULE_PYTHON_SCRIPTS": [f for f in shown if f.endswith(".py")],
            "MODULE_PYTHON_RESOURCES": [f for f in shown if not f.endswith(".py")],
        },
    }


def with_lists(text: str, lists: dict[str, list[str]]) -> str:
    """The text of a CMake file with the given variables set to the given files."""
    for variable, files in lists.items():
        block = "".join(f"  {file}\n" for file in files)
        text, count = re.subn(
            rf"^set\({variable}\n.*?^  \)$",
            lambda _, v=variable, b=block: f"set({v}\n{b}  )",
            text,
            flags=re.MULTILINE | re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"{count} lists named {variable}, one is needed")
    return text


def main() -> int:
    """Rewrite or check the lists; returns 1 where --check finds one out of date."""
    parser = argparse.ArgumentParser(description="Rewrite the extension's CMake file lists.")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is wrong")
    check = parser.parse_args().check
    stale = 0
    for path, lists in file_lists(ROOT).items():
        old = path.read_text(encoding="utf-8")
        new = with_lists(old, lists)
        if new == old:
            continue
        stale += 1
        print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'rewritten'}")
        before, after = set(old.splitlines()), set(new.splitlines())
        for mark, lines in (("-", before - after), ("+", after - before)):
            print("".join(f"  {mark} {line.strip()}\n" for line in sorted(lines)), end="")
        if not check:
            path.write_text(new, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
