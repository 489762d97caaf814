"""Files that are complete or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error

ABANDONED_SECONDS = 6 * 3600.0
"""Age of a temporary file at which nobody can be writing it any more."""

_CURES = {
    errno.ENOSPC: "Free some space on this disk and try again",
    errno.EDQUOT: "Free some space in your quota and try again",
    errno.EBUSY: "Close what uses it; if it is a whole disk, choose a folder on that disk",
    errno.EROFS: "Choose a folder on a disk that can be written",
    errno.EACCES: "Choose a folder that you may write to",
    errno.EPERM: "Choose a folder that you may write to",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


def write_error(error: OSError, path: Path) -> CPS4Error:
    """The user's version of a failed write."""
    return CPS4Error(
        f"Cannot write ({error.strerror or error})",
        path=path,
        cure=_CURES.get(error.errno or 0, "Check the disk and the folder"),
    )


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` only if the block succeeds.

    The temporary name keeps all suffixes of `path`, because writers choose their format by them.
    Raises CPS4Error where the folder cannot be written or the disk is full.
    """
    final = Path(path)
    temporary = _temporary(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    except OSError as error:
        raise write_error(error, final) from error
    finally:
        with suppress(OSError):  # never in place of the error that says why
            temporary.unlink(missing_ok=True)


class Staging:
    """Files that appear together or not at all.

    Each is written beside its place under a hidden name; `commit` then renames them in the order in
    which they were added, which takes no space and hardly any time. A kill between two renames
    leaves the first files in place, so the order must suit a reader at every step. As a context it
    removes what was not committed, and errors name the file that should have become.
    """

    def __init__(self) -> None:
        self._places: dict[Path, Path] = {}

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for temporary in self._places:
            with suppress(OSError):  # never in place of the error that says why
                temporary.unlink(missing_ok=True)
        if isinstance(error, CPS4Error) and error.path is not None:
            final = self._places.get(Path(error.path))
            if final is not None:
                raise _at(error, final) from error.__cause__

    def add(self, path: str | os.PathLike[str]) -> Path:
        """Where to write the file that shall become `path`; its name keeps all suffixes.

        A file that is not written is left out.
        """
        final = Path(path)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, final) from error
        temporary = _temporary(final)
        self._places[temporary] = final
        return temporary

    def commit(self) -> None:
        """Rename all; where one fails, take back those that had no predecessor, raise CPS4Error."""
        new: list[Path] = []
        for temporary, final in self._places.items():
            if not temporary.is_file():
                continue
            fresh = not final.exists()
            try:
                os.replace(temporary, final)
            except OSError as error:
                for path in reversed(new):
                    with suppress(OSError):
                        path.unlink()
                raise write_error(error, final) from error
            if fresh:
                new.append(final)


@contextmanager
def new_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` once the block succeeds.

    Raises CPS4Error where it cannot be written.
    """
    final = Path(folder)
    make_folder(final.parent)
    temporary = _temporary(final)
    try:
        temporary.mkdir()
        yield temporary
        if final.exists():
            old = final.with_name(f".partial-{secrets.token_hex(4)}-old")
            final.rename(old)
            temporary.rename(final)
            shutil.rmtree(old)
        else:
            temporary.rename(final)
    except OSError as error:
        raise write_error(error, final) from error
    except CPS4Error as error:
        if error.path is None or not Path(error.path).is_relative_to(temporary):
            raise
        raise _at(error, final / Path(error.path).relative_to(temporary)) from error.__cause__
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(final: Path) -> None:
    """Delete what a killed process left beside `final`, long ago, when it was to write that."""
    with suppress(OSError):
        for left in final.parent.glob(f".partial-*-{escape(final.name)}"):
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()


def _temporary(final: Path) -> Path:
    """A hidden name beside `final`."""
    remove_abandoned(final)
    return final.with_name(f".partial-{secrets.token_hex(4)}-{final.name}")


def _at(error: CPS4Error, path: Path) -> CPS4Error:
    """The same error at the place that the user knows."""
    return CPS4Error(error.cause, path=path, cure=error.cure)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder that can be written; raise CPS4Error where that fails."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".partial-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise write_error(error, folder) from error
    return folder


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, complete or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str], what: str = "JSON file") -> Any:
    """Read JSON; raise CPS4Error that says `what` is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CPS4Error(f"The {what} is missing", path=path) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CPS4Error(
            f"The {what} cannot be read ({error})", path=path, cure="Restore it from a copy"
        ) from error
