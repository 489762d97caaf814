"""What is wrong with a case or a study: how bad, where, why, and what cures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CPS4Core.errors import CPS4Error

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Problem:
    """One finding; `case` is None where it concerns the whole study."""

    severity: str
    case: str | None
    path: Path
    cause: str
    cure: str

    @classmethod
    def from_error(cls, error: CPS4Error, case: str | None, path: Path) -> Problem:
        """The finding behind an error met while reading; `path` serves where it names none."""
        return cls(
            ERROR,
            case,
            Path(error.path) if error.path is not None else path,
            error.cause.rstrip("."),
            (error.cure or "Replace the file by an intact one").rstrip("."),
        )

    def to_dict(self) -> dict[str, str | None]:
        """The JSON form."""
        return {
            "severity": self.severity,
            "case": self.case,
            "path": str(self.path),
            "cause": self.cause,
            "cure": self.cure,
        }


def count(problems: Sequence[Problem], severity: str) -> int:
    """How many problems have a severity."""
    return sum(p.severity == severity for p in problems)


def as_text(problems: Sequence[Problem], root: Path) -> str:
    """The problems for a terminal, errors first, paths below `root` shortened."""
    lines = []
    for p in sorted(problems, key=lambda p: p.severity != ERROR):
        path = p.path.relative_to(root) if p.path.is_relative_to(root) else p.path
        lines += [
            f"{p.severity:<8} {p.case or 'study'}: {path}",
            f"         {p.cause}.",
            f"         Cure: {p.cure}.",
        ]
    return "\n".join(lines)
