"""All views to a structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.segment_voxels import layers


def center(segmentation: Any, segment_id: str) -> tuple[float, float, float]:
    """The voxel of a segment nearest to its middle, in world coordinates (RAS, mm).

    It lies inside the segment, also where the middle of an L or a ring does not. Raises CPS4Error
    for an empty or unknown segment.
    """
    for layer in layers(segmentation):
        for label, owner in layer.segments.items():
            if owner == segment_id:
                voxels = np.argwhere(layer.voxels == label)[:, ::-1]
                if len(voxels):
                    points = voxels @ layer.matrix[:3, :3].T + layer.matrix[:3, 3]
                    distance = np.square(points - points.mean(axis=0)).sum(axis=1)
                    world = [0.0, 0.0, 0.0]
                    segmentation.TransformPointToWorld(points[distance.argmin()].tolist(), world)
                    return world[0], world[1], world[2]
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    name = segment.GetName() if segment else segment_id
    raise CPS4Error(f"Segment '{name}' is empty", cure="Paint it, or remove it")


def jump(segmentation: Any, segment_id: str) -> tuple[float, float, float]:
    """Center all slice views on a segment, put the crosshair there and return the position."""
    ras = center(segmentation, segment_id)
    scene = segmentation.GetScene()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
    return ras
