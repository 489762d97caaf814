"""Phantoms: made-up sagittal T2-like spine MRI with exact labels, for tests, demo and training."""

from CPS4Core.phantom.make import make_phantom
from CPS4Core.phantom.study import write_phantom_study

__all__ = ["make_phantom", "write_phantom_study"]
