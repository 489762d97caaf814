"""The frame of the command line: global options, the list of commands, errors and exit codes.

A command is a module of this package with `HELP`, `EXAMPLE`, `configure(parser)` and
`run(args, progress) -> exit code`. Only the module of the command in use is imported, and none of
them imports anything heavy at its top, so that help appears at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from CPS4Core import __version__
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.progress import ConsoleProgress, JsonLinesProgress, Progress, cancel_on_signals

COMMANDS = (
    "train",
    "pretrain",
    "maps",
    "calibrate",
    "segment",
    "evaluate",
    "report",
    "study",
    "model",
    "demo",
    "methods",
    "nnunet",
    "info",
    "benchmark",
    "compare",
    "worker",
)

EXIT_INTERNAL, EXIT_USER_ERROR, EXIT_CANCELLED = 1, 2, 130


class Command(Protocol):
    """What the module of a command offers."""

    HELP: str
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace, progress: Progress) -> int:
        """Do the work; returns the exit code."""


class QuietProgress(Progress):
    """Prints warnings and errors only."""

    def emit(self, event: dict[str, Any]) -> None:
        if event["event"] == "message" and event["level"] != "info":
            print(f"{event['level']}: {event['message']}", file=sys.stderr)


def load_command(name: str) -> Command:
    """The module behind a command's name."""
    return cast(Command, import_module(f"CPS4Core.cli.{name}"))


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of `cps4` with every command, or with `only` one to save the other imports."""
    parser = argparse.ArgumentParser(
        prog="cps4",
        description="Learn to segment spine MRI from a few labelled and many unlabelled scans, "
        "with one text prompt for each structure.",
        epilog="'cps4 COMMAND --help' shows the options of a command and an example.",
    )
    parser.add_argument("--version", action="version", version=f"cps4 {__version__}")
    _add_output_options(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in (only,) if only else COMMANDS:
        command = load_command(name)
        sub = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog="example:\n" + "\n".join("  " + line for line in _lines(command.EXAMPLE)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # Given after the command these override; absent they must not undo those given before it.
        _add_output_options(sub, default=argparse.SUPPRESS)
        command.configure(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cps4`; returns 0 for all well, 1 for not all well, 2 for bad input, 130 if cancelled."""
    # Idle OpenMP threads otherwise spin beside a busy desktop; torch reads these at its import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((a for a in arguments if not a.startswith("-")), None)
    parser = build_parser(named if named in COMMANDS else None)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 0
    progress = _progress(args)
    try:
        with cancel_on_signals(progress):
            code = load_command(args.command).run(args, progress)
            sys.stdout.flush()
            return code
    except CPS4Error as error:
        if args.json:
            progress.message(str(error), "error")
        print(f"cps4 {args.command}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except (Cancelled, KeyboardInterrupt) as stop:
        saved = "; what was finished is saved" if isinstance(stop, Cancelled) else ""
        print(f"cps4 {args.command}: cancelled{saved}.", file=sys.stderr)
        return EXIT_CANCELLED
    except BrokenPipeError:
        # The reader has gone (`cps4 ... | head`): nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL


def _add_output_options(parser: argparse.ArgumentParser, default: Any) -> None:
    group = parser.add_argument_group("output").add_mutually_exclusive_group()
    group.add_argument(
        "--json",
        action="store_true",
        default=default,
        help="write events as JSON lines to standard output, for other programs",
    )
    group.add_argument(
        "--quiet", action="store_true", default=default, help="print only warnings and errors"
    )


def _progress(args: argparse.Namespace) -> Progress:
    if os.environ.get("RANK", "0") != "0":
        return Progress()  # of several processes by torchrun the first one speaks
    if args.json:
        return JsonLinesProgress()
    return QuietProgress() if args.quiet else ConsoleProgress()


def _lines(text: str) -> list[str]:
    return text.strip("\n").splitlines()
