"""Files that are complete or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from CPS4Core.errors import CPS4Error

_CURES = {
    errno.ENOSPC: "Free some space on this disk and run the same command again",
    errno.EDQUOT: "Free some space in your quota and run the same command again",
    errno.EROFS: "Choose an output folder on a disk that can be written",
    errno.EACCES: "Choose an output folder that you may write to",
    errno.EPERM: "Choose an output folder that you may write to",
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
    temporary = final.with_name(f".partial-{secrets.token_hex(4)}-{final.name}")
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
