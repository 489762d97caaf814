"""A worker whose commands do what tests want to see done: `python sample_worker.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from CPS4Core.cli.main import main
from CPS4Core.errors import CPS4Error
from CPS4Core.worker import server


@dataclass
class Nothing:
    """No arguments."""


@dataclass
class Some:
    """Every type that arguments have."""

    text: str
    number: int | None = None
    yes: bool = False
    texts: list[str] | None = None
    table: dict[str, Any] | None = None


def steps(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
    for _ in progress.track(range(200), "steps"):
        time.sleep(0.05)
    return {"done": True}


def stuck(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
    progress.message("stuck")
    time.sleep(60)
    return {}


def prints(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
    print("printed by Python")
    os.write(1, b"written by a library\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return {"input": sys.stdin.read()}


def floods(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
    while True:
        progress.message("x" * 10_000)


def raises(error: BaseException) -> Callable[..., dict[str, Any]]:
    def run(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
        raise error

    return run


def lacks(arguments: Any, progress: Any, loaded: Any) -> dict[str, Any]:
    import no_such_package_anywhere  # noqa: F401

    return {}


COMMANDS = {
    "echo": SimpleNamespace(Arguments=Some, run=lambda a, p, m: vars(a)),
    **{
        name: SimpleNamespace(Arguments=Nothing, run=run)
        for name, run in {
            "steps": steps,
            "stuck": stuck,
            "prints": prints,
            "floods": floods,
            "lacks": lacks,
            "user": raises(CPS4Error("This is no volume", path="a.nii", cure="Give another")),
            "defect": raises(ValueError("first line\nsecond line")),
            "exits": raises(SystemExit(3)),
            "interrupts": raises(KeyboardInterrupt()),
            "memory": raises(MemoryError()),
            "no_number": lambda a, p, m: {"x": float("nan")},
            "no_json": lambda a, p, m: {"x": {1, 2}},
        }.items()
    },
}

if __name__ == "__main__":
    server.COMMANDS = tuple(COMMANDS)
    server.import_module = lambda name: COMMANDS[name.rpartition(".")[2]]  # type: ignore
    sys.exit(main(["worker"]))
