"""What README.md and docs/ point to is there, and the commands in them are understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from CPS4Core.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = {
    f"Scripts/{script}.py": command
    for script, command in {"segment": "segment", "prompt_maps": "maps", "train": "train"}.items()
}
"""The headless scripts, and the command that each runs."""


def anchors(page: Path) -> set[str]:
    """Names by which other pages link to this one's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def links(page: Path) -> list[str]:
    """Targets inside the repository, pictures too."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in found if "://" not in target]


def commands(page: Path) -> list[list[str]]:
    """Commands of cps4 in the page's blocks, those that Slicer runs by a script too."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.partition(" ;")[0].partition("; then")[0], comments=True)
            if words[:1] == ["cps4"]:
                found.append(words[1:])
            for script in set(words) & set(SCRIPTS):
                found.append([SCRIPTS[script], *words[words.index(script) + 1 :]])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    for words in commands(page):
        build_parser().parse_args(words)  # SystemExit for what it does not know


def test_commands_are_found() -> None:
    assert {words[0] for words in commands(ROOT / "docs" / "headless.md")} == set(SCRIPTS.values())
    assert ["info"] in commands(ROOT / "README.md")
