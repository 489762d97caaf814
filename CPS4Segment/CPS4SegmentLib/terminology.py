"""Slicer learns the names, codes and colours of vertebrae and discs at the module's start."""

from __future__ import annotations

from pathlib import Path

import slicer

FOLDER = Path(__file__).resolve().parents[1] / "Resources" / "Terminologies"


def load_terminology() -> list[str]:
    """Add our terminologies to those that Slicer offers; returns their context names.

    Slicer's own hold no vertebral level and no disc. Loading one twice replaces it by itself. A
    file that Slicer cannot read is left out: segments then keep their names and colours, and only
    the choice in Slicer's terminology dialog is missing.
    """
    logic = slicer.modules.terminologies.logic()
    names = [
        logic.LoadTerminologyFromFile(str(file)) for file in sorted(FOLDER.glob("*.term.json"))
    ]
    return [name for name in names if name]
