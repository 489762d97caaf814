"""Pictures of the panel beside a real volume, for the documentation.

    .venv/bin/python Testing/panel_pictures.py VOLUME docs/pictures

Walks through the panel as the tutorial does, with the installed starter model and the real worker,
and writes panel_setup.png, panel_segment.png, panel_review.png, panel_maps.png, panel_all_maps.png
and panel_correct.png (1280 x 800). The correction goes to a temporary study.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "module"), str(HERE.parent), str(HERE.parent / "CPS4Segment")]


def main() -> None:
    """Read the arguments and walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--map", default="L3", help="structure whose prompt map is shown")
    parser.add_argument("--paint", default="L4", help="structure that is corrected")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    import slicerharness

    slicerharness.start()
    import qt
    import slicer
    import slicer.util
    from slicerharness import dialogs
    from slicerharness.screenshot import window_picture
    from walkthrough import Walkthrough

    qt.QSettings().remove("CPS4SpineSegment")
    volume = slicer.util.loadVolume(str(args.volume))
    module = HERE.parent / "CPS4Segment" / "CPS4Segment.py"
    _, widget = slicerharness.load_module(module)
    walk = Walkthrough(widget)

    def picture(name: str, scroll_to: object, fit: bool = False) -> None:
        path = args.output / f"panel_{name}.png"
        window_picture(widget.parent, path, layout="sagittal", scroll_to=scroll_to, fit=fit)
        print(path)

    picture("setup", walk.setup(), fit=True)
    picture("segment", walk.segment(volume, show_3d=True), fit=True)
    picture("review", walk.review("L4"))
    picture("maps", walk.maps(args.map))
    walk.click(walk.ui.allClassesButton)
    picture("all_maps", walk.ui.mapsCollapsibleButton)
    walk.click(walk.ui.hideMapsButton)
    walk.paint(args.paint)
    study = Path(tempfile.gettempdir()) / "my_study"
    if study.exists():
        raise SystemExit(f"{study} exists already: move it away, the pictures need that name")
    try:
        dialogs.answer("Yes")  # make a new study there
        picture("correct", walk.submit(study, "case_001", "A. Radiologist", "lower edge of L4"))
    finally:
        shutil.rmtree(study, ignore_errors=True)
    slicerharness.unload_module("CPS4Segment")


if __name__ == "__main__":
    main()
