"""Run another program's command: its output in a log, stopped with us, its failure named."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.progress import Progress

_TAIL = 5


def run_outside(
    command: Sequence[str], environment: Mapping[str, str], log: Path, progress: Progress
) -> None:
    """Run `command`; what it prints is appended to `log`.

    Raises CPS4Error where it cannot start or ends with another code than 0.
    """
    with open(log, "a", encoding="utf-8") as output:
        output.write(f"$ {shlex.join(command)}\n")
        output.flush()
        try:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,  # a question would wait for ever
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CPS4Error(f"{command[0]} cannot be started ({error.strerror})") from error
        code = _wait(process, progress)
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise CPS4Error(
            f"{command[0]} failed with exit code {code}: {' / '.join(last)}",
            path=log,
            cure="Read the log; the same command goes on with what is not finished",
        )


def _wait(process: subprocess.Popen[bytes], progress: Progress) -> int:
    while True:
        try:
            progress.check()
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            continue
        except (Cancelled, KeyboardInterrupt):
            _stop(process)
            raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it with the workers it has started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
