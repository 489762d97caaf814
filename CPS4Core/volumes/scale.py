"""Is a volume of a size that a person can have: voxels given in metres or micrometres are not."""

from __future__ import annotations

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.sagittal import SagittalStack

TALLEST_VIEW = 2100.0
"""Height in mm: a whole person."""
LOWEST_VIEW = 2.0
"""Height in mm: lower is no scan; a spine whose metres are taken for millimetres has under 1."""


def refuse_wrong_scale(stack: SagittalStack) -> None:
    """Raise CPS4Error where the view is higher than a person or lower than any scan.

    Resampling it to the model's millimetres would take minutes and show nothing.
    """
    height = stack.array.shape[1] * stack.spacing[1]
    if not LOWEST_VIEW <= height <= TALLEST_VIEW:
        raise CPS4Error(
            f"The volume is {height:.3g} mm high from head to foot (voxels of "
            f"{' x '.join(f'{mm:.3g}' for mm in stack.voxel_spacing)} mm), so its voxel size is "
            "wrong",
            cure="Correct the spacing in its header, or export it once more in millimetres",
        )
