"""The worker's loop: one thread reads, the main thread works, every request gets its answer."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from importlib import import_module
from typing import Any, Protocol, cast

from CPS4Core import __version__
from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.worker import PROTOCOL
from CPS4Core.worker.arguments import read_arguments
from CPS4Core.worker.channel import Channel, encode
from CPS4Core.worker.loaded import Loaded
from CPS4Core.worker.request import BadMessage, Id, Message, RequestProgress, read_message

COMMANDS = ("probe", "models", "segment", "maps", "submit")

GRACE = 3.0
"""Seconds after which a shutdown no longer waits for the next safe point of a running request."""


class Command(Protocol):
    """What the module of a command offers."""

    Arguments: type[Any]

    def run(self, arguments: Any, progress: RequestProgress, loaded: Loaded) -> dict[str, Any]:
        """Do the work; returns the `result`. Raises CPS4Error or Cancelled."""


class Server:
    """Reads requests from a channel and answers them until it is shut down."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._loaded = channel, Loaded()
        self._waiting: deque[tuple[Message, RequestProgress]] = deque()
        self._running: tuple[Message, RequestProgress] | None = None
        self._ended = False
        self._changed, self._all_told = threading.Condition(), threading.Event()

    def serve(self) -> int:
        """Answer requests until the input ends or a shutdown is asked for; returns 0."""
        self._channel.write({"event": "ready", "protocol": PROTOCOL, "version": __version__})
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (request := self._next()) is not None:
            answer = self._answer(*request)
            with self._changed:
                self._running = None
            self._channel.write(answer)
        self._all_told.wait()
        return 0

    def shut_down(self) -> None:
        """Cancel everything and let `serve` return; what does not stop in time is cut off."""
        # A thread of its own: writing below can block where nobody reads any more.
        cut = threading.Timer(GRACE, os._exit, (0,))
        cut.daemon = True
        cut.start()
        with self._changed:
            waiting, running = list(self._waiting), self._running
            self._waiting.clear()
            self._ended = True
            if running is not None:
                running[1].cancel()
            self._changed.notify()
        for message, _ in waiting:
            self._channel.write({"id": message.id, "event": "cancelled"})
        self._all_told.set()

    def _read(self) -> None:
        """The reading thread: take in requests, act on cancel and shutdown at once."""
        for line in self._channel.lines():
            if not line.strip():
                continue
            try:
                message = read_message(line)
                if message.command == "shutdown":
                    break
                self._take(message)
            except BadMessage as error:
                self._channel.write(_failed(error.id, str(error)))
            except Exception as error:  # a deaf worker would never end
                self._channel.write(_internal(None, error))
        self.shut_down()

    def _take(self, message: Message) -> None:
        assert message.id is not None
        if message.command == "cancel":
            self._cancel(message.id)
            return
        with self._changed:
            taken = [m for m, _ in [*self._waiting, *([self._running] if self._running else [])]]
            if any(m.id == message.id for m in taken):
                # Not under its id, which would end the other request of that id.
                raise BadMessage(f"A request with the id {message.id!r} is under way")
            self._waiting.append((message, RequestProgress(self._channel, message.id)))
            self._changed.notify()

    def _cancel(self, id: Id) -> None:
        with self._changed:
            if self._running is not None and self._running[0].id == id:
                self._running[1].cancel()
                return
            kept = [request for request in self._waiting if request[0].id != id]
            found = len(kept) < len(self._waiting)
            self._waiting = deque(kept)
        if found:
            self._channel.write({"id": id, "event": "cancelled"})

    def _next(self) -> tuple[Message, RequestProgress] | None:
        """The next request, as soon as there is one; None after a shutdown."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if self._ended:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _answer(self, message: Message, progress: RequestProgress) -> dict[str, Any]:
        """Do what is asked; whatever goes wrong becomes the answer."""
        try:
            command = _load(message.command)
            arguments = read_arguments(command.Arguments, message.arguments, message.command)
            progress.check()
            result = command.run(arguments, progress, self._loaded)
            answer = {"id": message.id, "event": "result", "result": result}
            encode(answer)  # a result that is no JSON is found where it can still be answered
            return answer
        except CPS4Error as error:
            return _failed(message.id, str(error))
        except Cancelled:
            return {"id": message.id, "event": "cancelled"}
        except MemoryError:
            traceback.print_exc()
            cause = "The computer's memory is used up"
            return _failed(message.id, str(CPS4Error(cause, cure="Close other programs")))
        except ImportError as error:
            traceback.print_exc()
            return _failed(message.id, str(_package_error(error)))
        except BaseException as error:
            return _internal(message.id, error)


def _load(name: str) -> Command:
    if name not in COMMANDS:
        raise CPS4Error(f"No command '{name}'", cure=f"Known: {', '.join(COMMANDS)}")
    return cast(Command, import_module(f"CPS4Core.worker.{name}"))


def _package_error(error: ImportError) -> CPS4Error:
    package = (error.name or "").partition(".")[0]
    return CPS4Error(
        f"A Python package is missing, broken or of the wrong version ({error})",
        cure=f"Install {package or 'it'} (again); CPS4Core/requirements.txt says which version",
    )


def _internal(id: Id | None, error: BaseException) -> dict[str, Any]:
    """The answer to a defect of ours; the traceback goes to the log."""
    traceback.print_exception(error)
    sys.stderr.flush()
    first = (str(error).splitlines() or [""])[0]
    return _failed(id, f"{type(error).__name__}: {first}", internal=True)


def _failed(id: Id | None, message: str, internal: bool = False) -> dict[str, Any]:
    return {"id": id, "event": "failed", "message": message, "internal": internal}
