"""`cps4 train` inside Slicer, without a window: a model from a study, both stages.

    Slicer --no-splash --no-main-window --python-script train.py STUDY -o RUN

Options, results and exit codes are those of `cps4 train`; docs/headless.md has examples.
"""

import sys
from pathlib import Path

import slicer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
code = 1
try:
    from CPS4SegmentLib.headless import run

    code = run("train", sys.argv[1:])
finally:
    # Whatever happened: an exception alone would leave Slicer open.
    slicer.util.exit(code)
