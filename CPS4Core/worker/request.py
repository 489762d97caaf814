"""A request as it came in, and the progress that carries its id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4Core.progress import Progress
from CPS4Core.worker.channel import Channel

Id = str | int


@dataclass(frozen=True)
class Message:
    """One line in; `id` is None where the command does without."""

    command: str
    id: Id | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


class BadMessage(CPS4Error):
    """A line that is no message; `id` is the one it names, if it does."""

    def __init__(self, cause: str, id: Id | None = None) -> None:
        super().__init__(cause, cure="See the protocol in CPS4Core.worker")
        self.id = id


def read_message(line: bytes) -> Message:
    """The message in a line; raises BadMessage."""
    try:
        content = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"This line is not JSON in UTF-8 ({error})") from None
    if not isinstance(content, dict):
        raise BadMessage("This line is not a JSON object")
    given = content.get("id")
    known = given if isinstance(given, str | int) and not isinstance(given, bool) else None
    if given is not None and known is None:
        raise BadMessage("The id of a request is a string or a whole number")
    foreign = sorted(set(content) - {"id", "command", "arguments"})
    if foreign:
        raise BadMessage(f"A request has no {', '.join(map(repr, foreign))}", known)
    command, arguments = content.get("command"), content.get("arguments", {})
    if not isinstance(command, str):
        raise BadMessage("The request names no command", known)
    if not isinstance(arguments, dict):
        raise BadMessage("The arguments of a request are a JSON object", known)
    if known is None and command != "shutdown":
        raise BadMessage(f"The request '{command}' has no id")
    return Message(command, known, arguments)


class RequestProgress(Progress):
    """Sends events with the id of their request."""

    def __init__(self, channel: Channel, id: Id) -> None:
        super().__init__()
        self._channel, self._id = channel, id

    def emit(self, event: dict[str, Any]) -> None:
        self._channel.write({"id": self._id, **event})
