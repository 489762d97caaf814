"""What is handed to a study with a correction: is it complete, and what became of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

LONGEST_PROPOSAL = 60
"""Letters of a case id that is proposed; file names end at about 250."""


@dataclass(frozen=True)
class Submission:
    """The user's entries; `study` as typed, `case` and `author` stripped."""

    study: str
    case: str
    author: str
    note: str

    def missing(self) -> list[str]:
        """What is not there yet, in the panel's words."""
        wanted = []
        if not self.study:
            wanted.append("a study folder")
        elif not Path(self.study).expanduser().is_absolute():
            wanted.append("a study folder with its full path")
        if not self.case:
            wanted.append("a case id")
        elif not is_case_id(self.case):
            wanted.append("a case id of letters, digits, - _ and . only")
        if not self.author:
            wanted.append("who corrected it")
        return wanted

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.study).expanduser()

    @property
    def makes_a_study(self) -> bool:
        """Whether a new study would be made there; what else lies there is refused later."""
        try:
            return not any(self.folder.iterdir())
        except OSError:
            return not self.folder.exists()


def is_case_id(text: str) -> bool:
    """Whether a study can name its files so."""
    return re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", text) is not None


def proposed_case_id(volume_name: str) -> str:
    """A case id from a volume's name; empty where the name looks like a patient's.

    DICOM writes a person as Family^Given. nnU-Net's channel number `_0000` is no part of an id.
    """
    if looks_like_a_person(volume_name):
        return ""
    without_channel = re.sub(r"_\d{4}$", "", volume_name.strip())
    return re.sub(r"[^A-Za-z0-9-]+", "_", without_channel).strip("_-")[:LONGEST_PROPOSAL]


def looks_like_a_person(volume_name: str) -> bool:
    """Whether a name is written as DICOM writes patients."""
    return "^" in volume_name


def outcome(result: dict[str, Any], study: Path) -> str:
    """What happened and what to do next, from the worker's answer."""
    case, version = result["case"], result["version"]
    lines = [f"Case {case} is in the study, version {version} of its label."]
    if version > 1:
        lines[0] += " The earlier one is kept in the folder corrections."
    if result.get("study_created"):
        lines.append("The folder is a new study now.")
    labelled, unlabelled = result["labelled"], result["unlabelled"]
    cases = "case" if labelled == 1 else "cases"
    lines.append(f"The study has {labelled} labelled {cases} and {unlabelled} without a label.")
    lines += [f"{warning.rstrip('.')}." for warning in result.get("warnings") or []]
    lines.append("To train with it, type in a terminal:")
    lines.append(train_command(study))
    return "\n".join(lines)


def train_command(study: Path) -> str:
    """The command that trains on the study as it is now, into a folder that is not there yet."""
    run = study.parent / "runs" / f"{study.name}-{datetime.now():%Y-%m-%d-%H%M}"
    return f'cps4 train "{study}" --output "{run}"'
