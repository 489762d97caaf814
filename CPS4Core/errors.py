"""The errors that a user can meet: each names the cause, the file and the cure."""

from __future__ import annotations

from os import PathLike


class CPS4Error(Exception):
    """Something a user can act on.

    Parameters
    ----------
    cause: what is wrong, one sentence without the full stop.
    path: the file or folder at fault, if there is one.
    cure: what the user can do about it.
    """

    def __init__(
        self, cause: str, *, path: str | PathLike[str] | None = None, cure: str | None = None
    ):
        self.cause, self.path, self.cure = cause, path, cure
        text = cause.rstrip(".")
        if path is not None:
            text += f": {path}"
        text += "."
        if cure:
            text += f" {cure.rstrip('.')}."
        super().__init__(text)


class Cancelled(Exception):
    """The user asked to stop; what was finished has been saved."""
