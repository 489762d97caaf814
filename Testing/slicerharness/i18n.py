"""`slicer.i18n` without translations."""

from __future__ import annotations

import os
import sys
import types


def translate(context: str, text: str) -> str:
    """`text`: the harness speaks English."""
    return text


def tr(text: str) -> str:
    """`text`: the harness speaks English."""
    return text


def getContext(sourceFile: str) -> str:  # noqa: N802, N803
    """The context that translations of a source file are filed under."""
    return os.path.basename(sourceFile).removesuffix(".py")


def install() -> None:
    """Make `from slicer.i18n import tr as _` work."""
    import slicer

    module = types.ModuleType("slicer.i18n")
    module.tr, module.translate, module.getContext = tr, translate, getContext
    sys.modules["slicer.i18n"] = slicer.i18n = module
