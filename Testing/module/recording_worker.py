"""A worker without a process: the test sees what was asked and gives the answers."""

from __future__ import annotations

from typing import Any


class RecordedRequest:
    """One request; the test calls `tell`, `finish`, `fail`, or lets the panel cancel it."""

    def __init__(self, command: str, arguments: dict[str, Any], *callbacks: Any):
        self.command, self.arguments = command, arguments
        self._on_event, self._on_done, self._on_failed, self._on_cancelled = callbacks
        self.state, self.reason = "running", ""
        self.result: dict[str, Any] = {}
        self.progress: dict[str, Any] = {}
        self.cancelling, self.waits_for = False, ""

    @property
    def over(self) -> bool:
        return self.state != "running"

    def tell(self, **event: Any) -> None:
        """Send an event of the worker's progress."""
        if self._on_event:
            self._on_event(event)

    def finish(self, result: dict[str, Any]) -> None:
        """Answer with a result."""
        self.state, self.result = "done", result
        if self._on_done:
            self._on_done(result)

    def fail(self, reason: str) -> None:
        """Answer with a failure."""
        self.state, self.reason = "failed", reason
        if self._on_failed:
            self._on_failed(reason)

    def cancel(self) -> None:
        if not self.over:
            self.state = "cancelled"
            if self._on_cancelled:
                self._on_cancelled()

    def forget(self, then: Any = None) -> None:
        self._on_event = None
        self._on_done = self._on_failed = self._on_cancelled = lambda *_: then and then()
        self.cancel()


class RecordingWorker:
    """Stands where the panel expects its WorkerClient."""

    running = busy = False

    def __init__(self, command: list[str] | None = None):
        self.requests: list[RecordedRequest] = []

    def submit(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        on_event: Any = None,
        on_done: Any = None,
        on_failed: Any = None,
        on_cancelled: Any = None,
    ) -> RecordedRequest:
        callbacks = on_event, on_done, on_failed, on_cancelled
        self.requests.append(RecordedRequest(command, arguments or {}, *callbacks))
        return self.requests[-1]

    def wait(self, request: RecordedRequest, timeout: float | None = None) -> dict[str, Any]:
        """Nobody answers a test that waits."""
        request.cancel()
        return request.result

    def last(self, command: str) -> RecordedRequest:
        """The newest request of that command."""
        return next(r for r in reversed(self.requests) if r.command == command)

    def stop(self, grace: float = 0) -> None:
        for request in self.requests:
            request.cancel()
