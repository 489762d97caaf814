"""CPS4SegmentLib finds CPS4Core in a checkout, and says what is wrong where it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOOK = "import CPS4SegmentLib, CPS4Core.errors, sys; print(CPS4Core.__file__, sys.path[0])"


def run(module_folder: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Import the library in a Python that has nothing else, as Slicer does from a checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-S", "-c", LOOK],
        env=environment | {"PYTHONPATH": str(module_folder)},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_a_plain_checkout_works(tmp_path: Path) -> None:
    done = run(REPOSITORY / "CPS4Segment", tmp_path)
    core = REPOSITORY / "CPS4Core" / "__init__.py"
    assert done.stdout.split() == [str(core), str(REPOSITORY)], done.stderr


def test_the_module_s_folder_alone_is_not_enough_and_says_so(tmp_path: Path) -> None:
    alone = tmp_path / "somewhere" / "CPS4Segment"
    shutil.copytree(REPOSITORY / "CPS4Segment" / "CPS4SegmentLib", alone / "CPS4SegmentLib")
    done = run(alone, tmp_path)
    assert done.returncode and "add the whole checkout" in done.stderr
