"""Slicer's command line for scripts.

    python -m slicerharness [--no-splash] [--no-main-window] [--testing]
        [--additional-module-paths FOLDER ...] (--python-script FILE | --python-code CODE) ARGS

As Slicer's, it ends only when the script calls slicer.util.exit(): a script that comes to its end
or fails without it leaves Slicer running. Here that ends with code 99 and a message.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

import slicerharness

STILL_RUNNING = 99


def main() -> int:
    """Run the script; its exit code."""
    options, rest = _options(sys.argv[1:])
    app = slicerharness.start(testing=options.testing, main_window=not options.no_main_window)
    try:
        return _run(options, rest)
    finally:
        app._folder.cleanup()


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    for folder in options.module_paths:
        sys.path.insert(0, os.path.abspath(folder))
        for path in sorted(Path(folder).glob("*.py")):
            if "ScriptedLoadableModule" in path.read_text(encoding="utf-8"):
                slicerharness.load_module(path)
    try:
        if options.python_script:
            _run_script(options.python_script, rest)
        else:
            exec(options.python_code, {"__name__": "__main__"})
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
    print("Slicer would still be running: the script did not call slicer.util.exit()", flush=True)
    return STILL_RUNNING


def _run_script(path: str, arguments: list[str]) -> None:
    sys.argv = [path, *arguments]
    source = Path(path).read_text(encoding="utf-8")
    exec(compile(source, path, "exec"), {"__name__": "__main__", "__file__": path})


def _options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Everything after the script belongs to it."""
    rest: list[str] = []
    for flag in ("--python-script", "--python-code"):
        if flag in arguments:
            end = arguments.index(flag) + 2
            arguments, rest = arguments[:end], arguments[end:]
            break
    parser = argparse.ArgumentParser(prog="slicerharness", allow_abbrev=False)
    parser.add_argument("--no-main-window", action="store_true")
    parser.add_argument("--no-splash", action="store_true")
    parser.add_argument("--ignore-slicerrc", action="store_true")
    parser.add_argument("--testing", action="store_true")
    parser.add_argument(
        "--additional-module-paths",
        "--additional-module-path",
        dest="module_paths",
        nargs="+",
        default=[],
    )
    script = parser.add_mutually_exclusive_group(required=True)
    script.add_argument("--python-script")
    script.add_argument("--python-code")
    return parser.parse_args(arguments), rest


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without tearing down VTK and Qt, whose order in Python crashes
