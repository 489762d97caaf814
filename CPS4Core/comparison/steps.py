"""A process that runs one `cps4` command after the other, so that they load torch only once."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from CPS4Core.worker.channel import claim_standard_streams, encode


class Steps:
    """Such a process; what its commands say goes to the end of the file `log`.

    `log` may be set anew between two commands.
    """

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.environment = log, environment
        with open(log, "ab") as said:  # of the start, which no command has redirected yet
            self._child = subprocess.Popen(
                [sys.executable, "-m", "CPS4Core.comparison.steps"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=environment,
            )

    @property
    def alive(self) -> bool:
        """Whether it can take another command."""
        return self._child.poll() is None

    def run(self, line: list[str]) -> int:
        """Run a command; returns its exit code, or that of the process if it died with it."""
        assert self._child.stdin and self._child.stdout
        try:
            self._child.stdin.write(encode({"line": line, "log": str(self.log.absolute())}))
            self._child.stdin.flush()
        except OSError:
            return self._child.wait() or 1
        answer = self._child.stdout.readline()
        return json.loads(answer)["code"] if answer else self._child.wait() or 1

    def terminate(self) -> None:
        """Ask it to stop: the command saves and stops at its next safe point."""
        self._child.terminate()

    def close(self) -> None:
        """End the process once its command has ended."""
        assert self._child.stdin and self._child.stdout
        with suppress(OSError):  # a line that a dead process has not read
            self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


def main() -> None:
    """Run the commands that come in as lines, until the other side closes.

    A command leaves nothing behind for the next one, which may belong to another run: it sets
    threads and seeds itself, as in a process of its own.
    """
    from CPS4Core.cli.main import main as cps4

    channel = claim_standard_streams()
    try:
        for line in channel.lines():
            asked = json.loads(line)
            _speak_to(asked["log"])
            try:
                with warnings.catch_warnings():  # the next command gives each of them again
                    code = cps4(["--quiet", *asked["line"]])
            except SystemExit as end:  # of the argument parser
                code = end.code if isinstance(end.code, int) else 2
            _free_memory()
            channel.write({"code": code})
    except KeyboardInterrupt:  # between two commands
        return


def _speak_to(log: str) -> None:
    """Send all that is said from here on, by native libraries too, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _free_memory() -> None:
    """Give back what a command held on a GPU: the next one may use another, or wait long."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
