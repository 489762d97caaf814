"""Which labels a case has had: `corrections/CASE.json`, and the earlier ones beside it.

corrections/CASE.json               every version: who, when, from which model, no paths
corrections/CASE/label_vN.nii.gz    version N, once a later one took its place in labelsTr

A version is known by the fingerprint of its label file. The record is written just before the label
itself, so after an interruption it may name a last version that never came; the label tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json
from CPS4Core.study.folder import Case, Study, case_fingerprint
from CPS4Core.study.problem import WARNING, Problem

FOLDER = "corrections"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Version:
    """One label of a case.

    label: fingerprint of its file. author, when (ISO 8601, UTC): None for a label that did not come
    by `cps4 study submit`. model: what the correction started from, if it did from a model.
    structures: the names of what it shows.
    """

    version: int
    label: str
    author: str | None = None
    when: str | None = None
    note: str = ""
    model: dict[str, str] | None = None
    structures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """The versions of a case's label, oldest first, and where they are kept."""

    study: Path
    case: str
    ending: str
    versions: tuple[Version, ...] = ()

    @classmethod
    def read(cls, study: Study, case: str) -> Record:
        """The record of a case, an empty one where it was never corrected.

        Raises CPS4Error where it is damaged.
        """
        record = cls(study.folder, case, study.file_ending)
        if not record.path.is_file():
            return record
        content = read_json(record.path, "record of the corrections")
        cure = "Restore it from a copy, or move it away; the labels stay"
        try:
            if content["format_version"] != FORMAT_VERSION:
                raise CPS4Error(
                    f"The record of the corrections has format {content['format_version']}, not "
                    f"{FORMAT_VERSION}",
                    path=record.path,
                    cure="Use the CPS4Core version that wrote it",
                )
            known = {f.name for f in fields(Version)}
            versions = [
                Version(**{k: v for k, v in version.items() if k in known})
                for version in content["versions"]
            ]
            return replace(record, versions=tuple(sorted(versions, key=lambda v: v.version)))
        except (KeyError, TypeError, AttributeError) as error:
            raise CPS4Error(
                f"The record of the corrections lacks or misstates {error}",
                path=record.path,
                cure=cure,
            ) from error

    @property
    def path(self) -> Path:
        """corrections/CASE.json."""
        return self.study / FOLDER / f"{self.case}.json"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "format_version": FORMAT_VERSION,
            "case": self.case,
            "versions": [asdict(version) for version in self.versions],
        }

    def kept(self, version: int) -> Path:
        """Where an earlier label is or will be."""
        return self.study / FOLDER / self.case / f"label_v{version}{self.ending}"

    def with_next(self, **known: Any) -> Record:
        """A record with one version more; its number was never used before."""
        used = [version.version for version in self.versions]
        for file in (self.study / FOLDER / self.case).glob("label_v*"):
            if found := re.match(r"label_v(\d+)", file.name):
                used.append(int(found[1]))
        added = Version(version=max(used, default=0) + 1, **known)
        return replace(self, versions=(*self.versions, added))

    def settled(self, label: str | None) -> Record:
        """The record as it is true for the label file of now (its fingerprint; None for no file).

        What an interrupted submission announced and never did is dropped; a label that came by
        other ways becomes a version without an author. The last version is then that of `label`.
        """
        versions = list(self.versions)
        while versions and versions[-1].label != label and not self._is_kept(versions[-1]):
            if label is not None and not any(v.label == label for v in versions[:-1]):
                break  # it was there, and was changed by hand since
            versions.pop()
        record = replace(self, versions=tuple(versions))
        if label is None or (versions and versions[-1].label == label):
            return record
        return record.with_next(label=label)

    def _is_kept(self, version: Version) -> bool:
        return self.kept(version.version).is_file()


def corrected(study: Study) -> dict[str, Version]:
    """Case id -> the version of its present label, for labels that came by a submission.

    Damaged records are left out; `record_problems` names them.
    """
    found = {}
    for case in _recorded(study):
        try:
            versions = Record.read(study, case.id).versions
            present = None if case.label is None else case_fingerprint(case.label)
        except CPS4Error:
            continue
        version = next((v for v in reversed(versions) if v.label == present), None)
        if version is not None and version.author is not None:
            found[case.id] = version
    return found


def record_problems(study: Study) -> Iterator[Problem]:
    """Where a record of corrections and the labels do not go together."""
    for case in _recorded(study):
        path = study.folder / FOLDER / f"{case.id}.json"
        try:
            record = Record.read(study, case.id)
            present = None if case.label is None else case_fingerprint(case.label)
        except CPS4Error as error:
            yield replace(Problem.from_error(error, case.id, path), severity=WARNING)
            continue
        if record.versions and record.versions[-1].label != present:
            yield _not_the_last(record, case, present)
        for version in record.versions[:-1]:
            if version.label != present and not record.kept(version.version).is_file():
                yield Problem(
                    WARNING,
                    case.id,
                    record.kept(version.version),
                    f"Version {version.version} of the label is not kept any more",
                    "Restore it from a copy if it is needed; training does without it",
                )


def _not_the_last(record: Record, case: Case, present: str | None) -> Problem:
    last = record.versions[-1]
    who = f"version {last.version} by {last.author or 'unknown'}"
    if present is None or any(v.label == present for v in record.versions):
        cause = f"The submission of {who} was interrupted, or an earlier label was put back"
        cure = "Submit the correction once more, if it is wanted"
    else:
        cause = f"The label was changed since its last correction ({who})"
        cure = "Submit the change with cps4 study submit, so that it is known whose it is"
    return Problem(WARNING, case.id, case.label or record.path, cause, cure)


def _recorded(study: Study) -> list[Case]:
    """The cases with a record, sorted by id."""
    cases = study.test_cases | study.cases
    return [case for _, case in sorted(cases.items()) if _record_of(study, case).is_file()]


def _record_of(study: Study, case: Case) -> Path:
    return study.folder / FOLDER / f"{case.id}.json"
