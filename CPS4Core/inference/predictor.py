"""One volume in, its named label map out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.calibration import Calibration, level_confidence, read_calibration
from CPS4Core.inference.confidence import (
    Signs,
    calibrated_warnings,
    level_signs,
    mean_posterior,
    room_below,
)
from CPS4Core.inference.drawing import Drawing
from CPS4Core.inference.engine import Engine
from CPS4Core.inference.input_checks import (
    Doubts,
    content_doubts,
    empty_slices,
    filled_span,
    turned_doubts,
    view_warnings,
    without_empty,
)
from CPS4Core.inference.plausibility import sequence_warnings
from CPS4Core.inference.uncertainty import add_level_doubt
from CPS4Core.model_folder import ModelInfo
from CPS4Core.progress import Progress
from CPS4Core.slices.grid import SliceGrid, make_grid, working_slices
from CPS4Core.volumes.sagittal import SagittalStack, to_sagittal
from CPS4Core.volumes.scale import refuse_wrong_scale

if TYPE_CHECKING:
    import SimpleITK as sitk

    from CPS4Core.levels import DecodedLevels

THICK_ROWS = 2.0
"""A volume counts as not sagittal if its rows or columns are this much thicker than its slices."""


@dataclass(frozen=True)
class FoundStructure:
    """A structure in a label map. `confidence` is in 0..1 (see `Segmentation.confidence`)."""

    name: str
    value: int
    voxels: int
    volume_mm3: float
    confidence: float


@dataclass(frozen=True)
class Segmentation:
    """The labels of one volume.

    label: label map in the input's own geometry, in the schema's values.
    stack: the input as a sagittal stack.
    indices: class indices [slices, rows, cols] uint8 on that stack.
    confidence: per class index found. With a calibration the probability that the structure is
        there and has the right name. Without one, by formula: the mean of the winning softmax
        probability over its voxels, which is what the network believes, not calibrated against its
        errors; with decoded levels that of the name (`DecodedStructure.confidence`). Less for each
        doubt about the input (CPS4Core.inference.input_checks).
    structures: what was found, in the schema's order.
    warnings: what a person should look at, in sentences.
    levels_confidence: that all levels found in the volume have the right name; the smallest of
        their confidences where there is no calibration.
    signs: per class index of a level, what its confidence follows from (CPS4Core.inference.
        confidence).
    calibrated: whether the confidences are calibrated.
    uncertainty: [slices, rows, cols] uint8, 0..255 stands for 0..1, where it was asked for
        (CPS4Core.inference.uncertainty).
    """

    label: sitk.Image
    stack: SagittalStack
    indices: np.ndarray
    confidence: dict[int, float]
    structures: list[FoundStructure]
    warnings: list[str]
    levels_confidence: float = 0.0
    signs: dict[int, Signs] = field(default_factory=dict)
    calibrated: bool = False
    uncertainty: np.ndarray | None = None


LEVELS = ("raw", "decoded")


def levels_rule(info: ModelInfo, asked: str | None) -> str:
    """The rule that was asked for, else the model's own; raises CPS4Error for an unknown one."""
    if asked is None:
        # Without an order along the spine there is nothing to decode, and nothing to warn of.
        return info.config.inference.levels if info.schema.ordered_indices() else "raw"
    if asked not in LEVELS:
        raise CPS4Error(f"No levels '{asked}'", cure=f"Known: {', '.join(LEVELS)}")
    return asked


class Predictor:
    """A model and its engine, kept loaded for many volumes.

    `levels`: `raw` takes each voxel's best class; `decoded` names all structures of a volume
    jointly, by the best gap-free order along the column (CPS4Core.levels); None takes the model's
    own rule. `uncertainty` asks for the map of it. The calibration in the model folder is used
    where there is one, unless `calibrated` is false.
    """

    def __init__(
        self,
        info: ModelInfo,
        engine: Engine,
        levels: str | None = None,
        uncertainty: bool = False,
        calibrated: bool = True,
    ):
        self.info, self.engine, self.levels = info, engine, levels_rule(info, levels)
        self.uncertainty = uncertainty
        self.calibration: Calibration | None = (
            read_calibration(info, self.levels) if calibrated else None
        )

    def predict(self, image: sitk.Image, progress: Progress | None = None) -> Segmentation:
        """Segment a 3D scalar volume of any orientation.

        Slice by slice, so that the K probability maps of only a few slices exist at a time (with
        decoded levels those of all slices, at the working size).
        Raises CPS4Error for what is not such a volume and for a constant one, Cancelled if asked.
        """
        progress = progress or Progress()
        stack = to_sagittal(image)
        del image  # a large volume need not be there twice
        if stack.array.min() == stack.array.max():
            raise CPS4Error(
                f"Every voxel has the same value, {stack.array.flat[0]}",
                cure="Export or copy the volume once more",
            )
        refuse_wrong_scale(stack)
        grid = make_grid(stack.array.shape[1:], stack.spacing[1:], self.info.config.input)
        empty = empty_slices(stack.array)
        span = filled_span(empty)
        working = np.round(working_slices(stack.array, grid)[span] * 255).astype(np.uint8)
        softmax = without_empty(iter(self.engine.each(working)), empty[span])
        joint = None
        if self.levels == "decoded":
            joint = self._decode(softmax, working, stack.spacing[0], grid, progress)
            softmax = map(_renamed, joint.softmax, joint.decoded.labels)
        drawn = Drawing.empty(stack.array.shape, self.info.schema, self.uncertainty)
        for number, probabilities in enumerate(softmax):
            progress.check()
            own = joint.slice(number) if joint else None
            drawn.add(span.start + number, probabilities, grid, own)
        return self._segmentation(
            stack, drawn, joint, view_warnings(empty, len(stack.array[0]) * stack.spacing[1])
        )

    def _decode(
        self,
        softmax: Iterator[np.ndarray],
        working: np.ndarray,
        slice_mm: float,
        grid: SliceGrid,
        progress: Progress,
    ) -> _Joint:
        """All structures of the volume named together, and doubts about what it shows."""
        from CPS4Core.levels import decode_levels  # brings scipy, which raw levels do not need

        schema = self.info.schema
        kept = np.stack([probabilities.astype(np.float16) for probabilities in softmax])
        progress.check()
        spacing = (slice_mm, *grid.working_spacing)
        decoded = decode_levels(kept, spacing, schema, content=grid.content)
        content = content_doubts(decoded, working, spacing, schema)
        progress.check()
        turned = turned_doubts(self.engine, decoded, working, kept, spacing, schema, grid.content)
        return _Joint(kept, decoded, Doubts([*turned.warnings, *content.warnings]))

    def _segmentation(
        self, stack: SagittalStack, drawn: Drawing, joint: _Joint | None, view: list[str]
    ) -> Segmentation:
        """Confidences and warnings added to what was drawn."""
        schema, indices = self.info.schema, drawn.indices
        confidence = posterior = drawn.certainty()
        doubts, decoded = Doubts([]), None
        if joint is not None:
            doubts, decoded = joint.doubts, joint.decoded
            given = mean_posterior(joint.softmax, decoded.labels)
            posterior = {i: given.get(i, 0.0) for i in confidence}
        room = room_below(indices, stack.spacing[1], schema)
        signs = level_signs(posterior, decoded, schema, room)
        of_levels, of_all = level_confidence(signs, self.calibration)
        confidence = {i: c * doubts.factor for i, c in (confidence | of_levels).items()}
        if self.uncertainty:
            add_level_doubt(drawn.doubt, indices, confidence)
        if decoded is None:
            warnings = sequence_warnings(indices, stack.spacing, schema)
        else:
            warnings = decoded.warnings
        if self.calibration is not None:
            warnings = calibrated_warnings(warnings, of_levels, of_all, schema)
        voxel_mm3 = float(np.prod(stack.spacing))
        structures = [
            FoundStructure(
                name=schema.structures[i - 1].name,
                value=schema.structures[i - 1].value,
                voxels=int(drawn.voxels[i]),
                volume_mm3=round(drawn.voxels[i] * voxel_mm3, 2),
                confidence=round(value, 4),
            )
            for i, value in confidence.items()
        ]
        values = schema.to_values(np.arange(schema.class_count, dtype=np.uint8))
        return Segmentation(
            label=stack.restore(values[indices]),
            stack=stack,
            indices=indices,
            confidence=confidence,
            structures=structures,
            warnings=[*_acquisition_warnings(stack), *view, *doubts.warnings, *warnings],
            levels_confidence=of_all * doubts.factor,
            signs=signs,
            calibrated=self.calibration is not None,
            uncertainty=drawn.doubt if self.uncertainty else None,
        )


@dataclass(frozen=True)
class _Joint:
    """A volume decoded as a whole: softmax [S, K, h, w] float16 of its filled slices."""

    softmax: np.ndarray
    decoded: DecodedLevels
    doubts: Doubts

    def slice(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The network's own softmax [K, h, w] and the decoded labels [h, w] of a slice."""
        return self.softmax[number], self.decoded.labels[number]


def _renamed(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities [K, h, w] with all that is not background under the decoded label [h, w]."""
    renamed = np.zeros(probabilities.shape, np.float32)
    background = np.where(labels == 0, 1, probabilities[0].astype(np.float32))
    np.put_along_axis(renamed, labels[None].astype(np.intp), 1 - background[None], axis=0)
    renamed[0] = background
    return renamed


def _acquisition_warnings(stack: SagittalStack) -> list[str]:
    slice_mm, row_mm, col_mm = stack.spacing
    thickest = max(row_mm, col_mm)
    if thickest < THICK_ROWS * max(slice_mm, min(row_mm, col_mm)):
        return []
    plane = "axial" if row_mm > col_mm else "coronal"
    return [
        f"The volume was acquired in {plane} slices {thickest:.1f} mm apart; its sagittal view is "
        "coarse, and the model was made for sagittal slices"
    ]
