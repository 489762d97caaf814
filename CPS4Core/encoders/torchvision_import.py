"""The import of timm and transformers where torchvision does not fit the build of torch.

Both import torchvision. Beside a CPU build of torch, a CUDA build of torchvision cannot load its
operators and fails at its import. Nothing here uses these operators, so declaring the two that are
missed is enough; it happens only where the import really fails for this reason.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from CPS4Core.errors import CPS4Error

_SYMPTOM = "operator torchvision::nms does not exist"
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # torch withdraws the operators when their library object goes.


def import_torchvision() -> ModuleType:
    """torchvision, cured if it needs to be; raises CPS4Error where it is not installed."""
    try:
        return _import("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error) or _declared:
            raise
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for operator in _OPERATORS:
        library.define(operator)
    _declared.append(library)
    return _import("torchvision")


def import_timm() -> ModuleType:
    """timm, with a torchvision that it can import; raises CPS4Error where one is not installed."""
    import_torchvision()
    return _import("timm")


def import_transformers() -> ModuleType:
    """transformers, which imports torchvision only where it is installed."""
    if find_spec("torchvision") is not None:
        import_torchvision()
    return _import("transformers")


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise CPS4Error(
            f"The encoder of this configuration needs the package {name}",
            cure=f"pip install {name}",
        ) from error
