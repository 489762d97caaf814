"""`cps4 segment` inside Slicer, without a window: label maps of volumes and DICOM trees.

    Slicer --no-splash --no-main-window --python-script segment.py INPUT... -o FOLDER

Options, results and exit codes are those of `cps4 segment`; docs/headless.md has examples.
"""

import sys
from pathlib import Path

import slicer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
code = 1
try:
    from CPS4SegmentLib.headless import run

    code = run("segment", sys.argv[1:])
finally:
    # Whatever happened: an exception alone would leave Slicer open.
    slicer.util.exit(code)
