"""`cps4 worker`: a resident process that other programs talk to."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from CPS4Core.progress import Progress

HELP = "for programs: answer requests as JSON lines and keep the model loaded between them"
EXAMPLE = """
echo '{"id": "1", "command": "probe"}' | cps4 worker
The Slicer extension runs this; people use the other commands. The docstring of CPS4Core.worker
describes the lines. It ends when its input does.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: none."""


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Serve until the input ends; the process is over then, with exit code 0."""
    from CPS4Core.worker.channel import claim_standard_streams
    from CPS4Core.worker.server import Server

    # Nothing is ever fetched; the hub's client reads this at its import, which comes later.
    os.environ["HF_HUB_OFFLINE"] = "1"
    channel = claim_standard_streams()
    # Prints of libraries shall stand in the log where they happened.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    server = Server(channel)

    def end(number: int, frame: object) -> None:
        # Not here: the signal may have come while this thread held the server's lock.
        threading.Thread(target=server.shut_down, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = server.serve()
    sys.stderr.flush()
    # Without Python's own end, which takes seconds once torch is loaded; everything is written.
    os._exit(code)
