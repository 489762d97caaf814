"""NaN and infinity in NIfTI files, which the NIfTI reader silently turns into zeros."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

_FLOAT_TYPES = {16: "f4", 64: "f8"}
_HEADER_BYTES = 348


def count_not_finite(path: Path) -> int:
    """How many voxels of a NIfTI-1 file are not finite; 0 for other files and for integers."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return 0
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return 0
        order = "<" if struct.unpack_from("<i", header)[0] == _HEADER_BYTES else ">"
        (datatype,) = struct.unpack_from(order + "h", header, 70)
        is_nifti_1 = struct.unpack_from(order + "i", header)[0] == _HEADER_BYTES
        if not is_nifti_1 or datatype not in _FLOAT_TYPES:
            return 0
        (offset,) = struct.unpack_from(order + "f", header, 108)
        sizes = struct.unpack_from(order + "8h", header, 40)
        file.read(int(offset) - _HEADER_BYTES)
        kind = np.dtype(order + _FLOAT_TYPES[datatype])
        voxels = int(np.prod([max(1, n) for n in sizes[1 : 1 + sizes[0]]], dtype=np.int64))
        values = np.frombuffer(file.read(voxels * kind.itemsize), kind)
    return int(np.count_nonzero(~np.isfinite(values)))
