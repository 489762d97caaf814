"""The lines between the worker and the program that started it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_BLOCK = 1 << 16


class Channel:
    """JSON lines in from one file descriptor and out to another, from any thread.

    The descriptors are read and written without buffers of Python's, so that a thread which waits
    for input holds no lock that the end of the process needs.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing, self._lock = reading, writing, threading.Lock()

    def lines(self) -> Iterator[bytes]:
        """The complete lines as they come in, until the other side closes."""
        rest = b""
        while block := self._read():
            *whole, rest = (rest + block).split(b"\n")
            yield from whole

    def write(self, content: dict[str, Any]) -> None:
        """Write one object; what cannot be said any more, since nobody listens, is dropped.

        Raises as `encode` does, before anything is written.
        """
        line = encode(content)
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._writing, line) :]
            except OSError:
                return

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, _BLOCK)
        except OSError:
            return b""


def encode(content: dict[str, Any]) -> bytes:
    """One object as a line; raises TypeError or ValueError for what is not JSON."""
    # ASCII with escapes is UTF-8 too, and carries file names that are no text in any encoding.
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def claim_standard_streams() -> Channel:
    """Take standard input and output for the protocol alone.

    From here on the process' own descriptors 0 and 1 are an empty input and standard error: prints
    of libraries, native ones too, land in the log, and no child process inherits the pipes and
    keeps them open. (On Windows a pending read of descriptor 0 would also block the import of some
    libraries.)
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    channel = Channel(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return channel
