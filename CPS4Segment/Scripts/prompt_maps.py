"""`cps4 maps` inside Slicer, without a window: what each class prompt attends to in a volume.

    Slicer --no-splash --no-main-window --python-script prompt_maps.py INPUT -o FOLDER

Options, results and exit codes are those of `cps4 maps`; docs/headless.md has examples.
"""

import sys
from pathlib import Path

import slicer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
code = 1
try:
    from CPS4SegmentLib.headless import run

    code = run("maps", sys.argv[1:])
finally:
    # Whatever happened: an exception alone would leave Slicer open.
    slicer.util.exit(code)
