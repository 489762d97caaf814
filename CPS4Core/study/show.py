"""What a study holds, case by case, for a table or for another program."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.study.correction_record import Version, corrected
from CPS4Core.study.folder import Case, Study
from CPS4Core.study.splits import Selection


@dataclass(frozen=True)
class CaseRow:
    """One case: its use, its own geometry (x, y, z; mm) and the structures in its label.

    `use` is labelled, unlabelled, val, test or imagesTs; `labels` is None where there is no label
    file or nobody looked; `note` says why something could not be read; `correction` is the version
    of a label that came by `cps4 study submit`.
    """

    case: str
    use: str
    has_label: bool
    size: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: str = ""
    labels: tuple[str, ...] | None = None
    note: str = ""
    correction: Version | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def show_study(
    study: Study,
    selection: Selection | None = None,
    progress: Progress | None = None,
    *,
    read_labels: bool = True,
) -> list[CaseRow]:
    """One row a case, imagesTs last. Reads headers, and label maps unless told not to.

    Without a selection every training case with a label counts as labelled.
    """
    progress = progress or Progress()
    uses: dict[str, str] = {}
    parts = selection or study.splits
    for use in ("labelled", "unlabelled", "val", "test"):
        uses |= dict.fromkeys(getattr(parts, use, ()), use)
    planned = [(c, uses.get(c.id) or _own_use(c)) for c in study.cases.values()]
    planned += [(c, "imagesTs") for c in study.test_cases.values()]
    by_hand = corrected(study)
    return [
        replace(_row(study, case, use, read_labels), correction=by_hand.get(case.id))
        for case, use in progress.track(planned, "Reading cases", total=len(planned))
    ]


def _own_use(case: Case) -> str:
    return "unlabelled" if case.label is None else "labelled"


def _row(study: Study, case: Case, use: str, read_labels: bool) -> CaseRow:
    has_label = case.label is not None
    try:
        size, spacing, orientation = _header(case.image)
    except CPS4Error as error:
        return CaseRow(case.id, use, has_label, note=error.cause)
    labels, note = None, ""
    if read_labels and case.label is not None:
        try:
            labels = _structures(study, case.label)
        except CPS4Error as error:
            note = error.cause
    return CaseRow(case.id, use, has_label, size, spacing, orientation, labels, note)


def _header(path: Path) -> tuple[tuple[int, ...], tuple[float, ...], str]:
    """Size, spacing and orientation (such as LPS: where x, y and z lead) without the pixels."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise CPS4Error("The image cannot be read", path=path) from error
    size = tuple(reader.GetSize())
    spacing = tuple(round(s, 3) for s in reader.GetSpacing())
    if len(size) != 3:
        return size, spacing, ""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(reader.GetDirection())
    return size, spacing, code


def _structures(study: Study, path: Path) -> tuple[str, ...]:
    """Names present in a label map, in class order; unknown values by number."""
    import numpy as np
    import SimpleITK as sitk

    from CPS4Core.volumes.reading import read_label_map

    found = set(np.unique(sitk.GetArrayFromImage(read_label_map(path))).tolist())
    names = {s.value: s.name for s in study.schema.structures}
    if study.schema.ignore_value is not None:
        names[study.schema.ignore_value] = "ignore"
    known = [name for value, name in names.items() if value in found]
    return (*known, *(f"value {v}" for v in sorted(found - set(names) - {0})))


def _label(row: CaseRow) -> str:
    if row.correction is None:
        return "yes" if row.has_label else "no"
    return f"v{row.correction.version} by {row.correction.author}"


def as_table(rows: list[CaseRow]) -> str:
    """The rows as aligned text."""
    heads = ("case", "use", "label", "size", "spacing [mm]", "axes", "structures")
    cells = [
        (
            row.case,
            row.use,
            _label(row),
            " x ".join(map(str, row.size)),
            " x ".join(f"{s:g}" for s in row.spacing),
            row.orientation,
            row.note or ("-" if row.labels is None else " ".join(row.labels)),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *cells]
    )
