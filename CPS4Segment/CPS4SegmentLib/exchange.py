"""Folders with the files that go to the worker and come back, in Slicer's temporary folder.

They hold a patient's scan, so none may stay: a folder goes when the worker has let go of it, and
those of a Slicer that was killed go when the next one starts.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer

from CPS4Core.errors import CPS4Error
from CPS4Core.files import write_error

PREFIX = "CPS4-"
LOCK = "in-use"
"""File in each folder, locked as long as the Slicer that made it lives."""


class ExchangeFolder:
    """A new folder, there until `remove`; raises CPS4Error where it cannot be made."""

    def __init__(self) -> None:
        temporary = slicer.app.temporaryPath
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temporary))
            self._lock: Any = open(self.path / LOCK, "wb")  # noqa: SIM115 (closed by `remove`)
        except OSError as error:
            raise CPS4Error(
                f"Slicer's temporary folder cannot be written ({error.strerror or error})",
                path=temporary,
                cure="Make room there, or choose another one in the Application Settings, Modules",
            ) from error
        _lock(self._lock)

    def remove(self) -> None:
        """Delete it with its files; once is enough."""
        self._lock.close()  # first: Windows deletes no open file
        shutil.rmtree(self.path, ignore_errors=True)

    def new_file(self, name: str) -> Path:
        """A place for a file of that name beside others of the same name."""
        try:
            return Path(tempfile.mkdtemp(dir=self.path)) / name
        except OSError as error:
            raise write_error(error, self.path / name) from error


def remove_left_behind() -> None:
    """Delete the folders whose Slicer has ended without doing so."""
    for folder in Path(slicer.app.temporaryPath).glob(f"{PREFIX}*"):
        try:
            with open(folder / LOCK, "r+b") as file:
                _lock(file)
        except OSError:  # in use, another user's, or not one of ours
            continue
        shutil.rmtree(folder, ignore_errors=True)


def in_words(message: str, file: str | os.PathLike[str], name: str) -> str:
    """A message of the worker about `file` with what the user calls it, not a temporary path."""
    return message.replace(str(file), f"'{name}'")


def _lock(file: Any) -> None:
    """Lock an open file until it is closed; raises OSError where it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
