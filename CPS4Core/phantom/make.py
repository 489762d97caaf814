"""Phantom images with their labels as SimpleITK volumes."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error
from CPS4Core.phantom.acquisition import Acquisition, sample_acquisition
from CPS4Core.phantom.anatomy import Anatomy, sample_anatomy
from CPS4Core.phantom.frame import SpineFrame
from CPS4Core.phantom.reception import coil_field, receive
from CPS4Core.phantom.rendering import Scene
from CPS4Core.schema import LabelSchema, built_in_schema

SMALLEST = 64


def make_phantom(
    seed: int,
    size: int | tuple[int, int] = 512,
    slices: int | None = None,
    schema: str | LabelSchema = "mrspineseg",
    *,
    sacrum_visible: bool | None = None,
    degeneration: float | None = None,
    contrast: float = 1.0,
    noise: float = 1.0,
    bias: float = 1.0,
) -> tuple[sitk.Image, sitk.Image]:
    """A made-up sagittal T2-like spine MRI and its labels; the same arguments give the same one.

    Parameters
    ----------
    size: (rows, columns) or one number for both. The field of view is 317 to 355 mm high at any
        size, so a smaller size has larger pixels.
    slices: their number, 12 to 18 by default, 4.4 to 5.5 mm apart.
    schema: whose values the labels have, by name of the structures. Structures that the schema
        lacks (MRSpineSeg's end at T9) are in the image and background in the label.
    sacrum_visible: None leaves it to chance (85 %). False hides the disc L5/S too.
    degeneration: of all discs, 0 (thick and bright) to 1 (thin and dark); None draws each.
    contrast: how far the tissues' signals stray from typical T2 (0 not at all, 1 as between
        scanners, 3 and more wildly).
    noise, bias: factors of the drawn noise and of the coil's unevenness; 0 switches them off.
        Neither these nor `contrast` change anything in the labels.

    Returns the image (int16) and the label map (uint8, uint16 where the schema needs it), in
    the same slightly oblique sagittal geometry. As in real scans, of the highest level sometimes
    only posterior elements are in view, without its body or the disc below it.
    Raises CPS4Error for sizes that show no spine.
    """
    rows, cols = (size, size) if isinstance(size, int) else size
    if min(rows, cols) < SMALLEST or cols < 0.45 * rows or (slices is not None and slices < 1):
        raise CPS4Error(
            f"A phantom of {rows} x {cols} pixels and {slices or 'some'} slices cannot be made",
            cure=f"Use at least {SMALLEST} pixels, one slice, and columns for half the rows",
        )
    if isinstance(schema, str):
        schema = built_in_schema(schema)
    draws = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    anatomy = sample_anatomy(draws[0], degeneration)
    frame = SpineFrame(anatomy)
    scan = sample_acquisition(
        draws[1],
        anatomy,
        frame,
        rows,
        cols,
        slices,
        sacrum_visible=sacrum_visible,
        contrast=contrast,
        noise=noise,
        bias=bias,
    )
    return render_phantom(anatomy, frame, scan, draws[2], draws[3], schema)


def render_phantom(
    anatomy: Anatomy,
    frame: SpineFrame,
    scan: Acquisition,
    texture: np.random.Generator,
    noise: np.random.Generator,
    schema: LabelSchema,
) -> tuple[sitk.Image, sitk.Image]:
    """The image (int16) and the label map of a spine that is drawn and a scan that is chosen."""
    scene = Scene(anatomy, frame, scan, texture)
    shown = [scene.render(k) for k in range(scan.slices)]
    signal = np.stack([image for image, _ in shown])
    owner = np.stack([segment for _, segment in shown])
    field = coil_field(scan, scene.soft.skin, scene.soft.line_y)
    image = receive(scan, signal, field, noise)
    return _volume(image, scan), _volume(label_values(anatomy, schema)[owner], scan)


def label_values(anatomy: Anatomy, schema: LabelSchema) -> np.ndarray:
    """Label value of each segment; one more at the end, which index -1 (nothing) meets, is 0."""
    known = {s.name: s.value for s in schema.structures}
    values = [known.get(name, 0) for name in anatomy.names] + [0]
    return np.array(values, np.uint8 if max(values) < 256 else np.uint16)


def _volume(array: np.ndarray, scan: Acquisition) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((scan.spacing, scan.spacing, scan.slice_spacing))
    image.SetDirection(scan.directions.ravel().tolist())
    image.SetOrigin(scan.origin.tolist())
    return image
