"""A process that runs one `cps4` command after the other, so that they load torch only once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from CPS4Core.worker.channel import claim_standard_streams, encode


class Steps:
    """Such a process; what its commands say goes to the end of the file `log`."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with open(log, "ab") as said:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "CPS4Core.comparison.steps"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=environment,
            )

    def run(self, line: list[str]) -> int:
        """Run a command; returns its exit code, or that of the process if it died with it."""
        assert self._child.stdin and self._child.stdout
        try:
            self._child.stdin.write(encode({"line": line}))
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
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


def main() -> None:
    """Run the commands that come in as lines, until the other side closes."""
    from CPS4Core.cli.main import main as cps4

    channel = claim_standard_streams()
    try:
        for line in channel.lines():
            try:
                code = cps4(["--quiet", *json.loads(line)["line"]])
            except SystemExit as end:  # of the argument parser
                code = end.code if isinstance(end.code, int) else 2
            channel.write({"code": code})
    except KeyboardInterrupt:  # between two commands
        return


if __name__ == "__main__":
    main()
