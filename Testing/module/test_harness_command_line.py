"""`python -m slicerharness` runs scripts as `Slicer --python-script` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(tmp_path: Path, script: str, *arguments: str, options: tuple[str, ...] = ()) -> tuple:
    """(exit code, output) of a script."""
    path = tmp_path / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "slicerharness", "--no-splash", "--no-main-window", *options]
        + ["--python-script", str(path), *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_arguments_and_exit_code(tmp_path: Path) -> None:
    script = """
import sys, slicer
print(sys.argv[1:], slicer.app.layoutManager(), slicer.util.mainWindow())
slicer.util.exit(3)
"""
    code, output = run(tmp_path, script, "--input", "a folder")
    assert code == 3
    assert "['--input', 'a folder'] None None" in output


def test_a_script_that_fails_leaves_slicer_running(tmp_path: Path) -> None:
    code, output = run(tmp_path, "raise ValueError('no such folder')")
    assert code == 99
    assert "no such folder" in output and "did not call slicer.util.exit()" in output


def test_modules_are_loaded_and_messages_only_logged(tmp_path: Path) -> None:
    script = """
import slicer
slicer.util.errorDisplay("nobody sees a dialog")
print(slicer.modules.sample.title)
import Sample
print(Sample.SampleLogic().moduleName)
slicer.util.exit(0)
"""
    options = ("--additional-module-paths", str(HERE / "sample"))
    code, output = run(tmp_path, script, options=options)
    assert code == 0, output
    assert "Sample of a module" in output and "Sample\n" in output
