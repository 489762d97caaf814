"""The resident worker process as the module sees it: requests go in, events and results come back.

The worker (`python -m CPS4Core worker`) holds torch and the loaded model, so Slicer's own process
needs neither. Both talk in JSON lines over the worker's standard streams. No threads here: a timer
of Qt looks at the pipe, because Slicer's event loop starves Python threads.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.core_path import core_command, core_environment
from CPS4SegmentLib.worker_process import WorkerProcess

POLL_MS = 50
CANCEL_GRACE = 10.0
"""Seconds until a cancelled request must have stopped; then the worker is killed."""
AGAIN = (
    "Nothing is lost: try again. If it comes again, close other programs that need much memory, or"
    " compute on the CPU (section Setup)."
)
CANNOT_START = "Start Slicer again; if it comes again, install Slicer again."
START_LIMIT = 180.0
"""Seconds until a started worker must have said that it is ready."""


class Request:
    """One command given to the worker.

    state: queued, running, done, failed or cancelled. progress: the last event `start` or `step`.
    result: the worker's answer once done. reason: why it failed.
    """

    def __init__(self, client: WorkerClient, number: str, command: str, arguments: dict[str, Any]):
        self._client = client
        self.number, self.command, self.arguments = number, command, arguments
        self.state = "queued"
        self.progress: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self.reason = ""
        self.cancelling = False
        self.attempts = 0
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        self.on_done: Callable[[dict[str, Any]], None] | None = None
        self.on_failed: Callable[[str], None] | None = None
        self.on_cancelled: Callable[[], None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def waits_for(self) -> str:
        """The command that the worker does meanwhile; empty where it is this one's turn."""
        return self._client.ahead_of(self)

    def cancel(self) -> None:
        """Stop it: at once if it waits, else at the worker's next safe point."""
        self._client.cancel(self)

    def forget(self, then: Callable[[], None] | None = None) -> None:
        """Cancel it and tell nobody how it ends; `then` is called when it has ended."""
        self.on_event = None

        def ended(*_: Any) -> None:
            if then is not None:
                then()

        self.on_done = self.on_failed = self.on_cancelled = ended
        self.cancel()


class WorkerClient:
    """Starts the worker when it is needed, starts it again when it died, and ends it.

    command: how to start it, for tests; None: PythonSlicer with this module's CPS4Core.
    Requests run one after the other. One that was running when the worker died is begun once more
    (an event `message` says so); if the worker dies again, it fails with the reason.
    """

    def __init__(self, command: list[str] | None = None):
        self._command = command
        self._process: WorkerProcess | None = None
        self._requests: list[Request] = []
        self._numbers = itertools.count(1)
        self._ready = False
        self._started = self._cancelled_at = 0.0
        self._timer: Any = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    @property
    def busy(self) -> bool:
        """Whether a request is running or waiting."""
        return bool(self._requests)

    def ahead_of(self, request: Request) -> str:
        """See `Request.waits_for`."""
        head = self._requests[0] if self._requests else request
        return "" if request.over or head is request else head.command

    def submit(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        on_done: Callable[[dict[str, Any]], None] | None = None,
        on_failed: Callable[[str], None] | None = None,
        on_cancelled: Callable[[], None] | None = None,
    ) -> Request:
        """Queue a request; exactly one of on_done, on_failed and on_cancelled is called, later."""
        request = Request(self, str(next(self._numbers)), command, arguments or {})
        request.on_event, request.on_done = on_event, on_done
        request.on_failed, request.on_cancelled = on_failed, on_cancelled
        self._requests.append(request)
        self._watch()
        return request

    def cancel(self, request: Request) -> None:
        """See `Request.cancel`."""
        if request.over or request.cancelling:
            return
        if request.state == "queued":
            self._finish(request, "cancelled")
        else:
            request.cancelling, self._cancelled_at = True, time.monotonic()
            self._send({"command": "cancel", "id": request.number})

    def wait(self, request: Request, timeout: float | None = None) -> dict[str, Any]:
        """Wait without an event loop; return the result.

        timeout: in seconds, after which the request is cancelled.
        Raises CPS4Error where it fails, is cancelled or takes too long.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not request.over:
            self.poll()
            if end is not None and time.monotonic() > end and not request.cancelling:
                request.cancel()
                request.reason = f"There was no result after {timeout:g} seconds"
            if not request.over:
                time.sleep(POLL_MS / 1000)
        if request.state != "done":
            raise CPS4Error(request.reason or "It was cancelled")
        return request.result

    def stop(self, grace: float = 2.0) -> None:
        """End the worker, politely for `grace` seconds, then with all its children.

        Whatever ran or waited is cancelled; the next `submit` starts a new worker.
        """
        process, self._process = self._process, None
        if process is not None:
            process.stop(grace)
        for request in list(self._requests):
            self._finish(request, "cancelled")
        self._rest()

    def poll(self) -> None:
        """Take what the worker has sent and do what is due; the timer calls it."""
        if not self._requests:
            self._rest()
            return
        if self._process is None:
            self._start()
        process = self._process
        if process is None:
            return
        while process is self._process and (line := process.next_line()) is not None:
            self._take(line)
        if process is self._process:
            self._look_after(process)

    def _start(self) -> None:
        self._ready, self._started = False, time.monotonic()
        try:
            self._process = WorkerProcess(self._command or worker_command(), core_environment())
        except (OSError, CPS4Error) as error:
            text = f"The worker process cannot be started ({error}). {CANNOT_START}"
            self._finish(self._requests[0], "failed", text)

    def _look_after(self, process: WorkerProcess) -> None:
        """See to a worker that is dead, silent or does not stop; give it its next request."""
        head = self._requests[0] if self._requests else None
        now = time.monotonic()
        if process.ended:
            self._died(process)
        elif not self._ready and now - self._started > START_LIMIT:
            process.kill()
            self._died(process, f"it said nothing for {START_LIMIT:g} seconds")
        elif head and head.cancelling and now - self._cancelled_at > CANCEL_GRACE:
            process.kill()
            self._process = None
            process.close()
            self._finish(head, "cancelled")
        elif self._ready and head and head.state == "queued":
            head.state, head.attempts = "running", head.attempts + 1
            self._send({"id": head.number, "command": head.command, "arguments": head.arguments})

    def _died(self, process: WorkerProcess, why: str = "") -> None:
        why = why or process.last_words()
        self._process = None
        process.close()
        if not self._requests:
            return
        head = self._requests[0]
        if not self._ready:
            head.attempts += 1
        if head.cancelling:
            self._finish(head, "cancelled")
        elif head.attempts > 1:
            text = f"The worker process stopped ({why}) twice. {AGAIN}"
            self._finish(head, "failed", text)
        else:
            head.state, head.progress = "queued", {}
            text = f"The worker process stopped ({why}). It is started again, and the work with it."
            self._tell(head, {"event": "message", "level": "warning", "message": text})

    def _take(self, line: bytes) -> None:
        """One line of the worker; what is not of the protocol is left alone."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("event")
        if kind == "ready":
            self._ready = True
            return
        request = self._requests[0] if self._requests else None
        if request is None or event.get("id") != request.number:
            return
        if kind == "result":
            result = event.get("result")
            request.result = result if isinstance(result, dict) else {}
            self._finish(request, "done")
        elif kind == "failed":
            self._finish(
                request, "failed", str(event.get("message") or "The worker gave no reason")
            )
        elif kind == "cancelled":
            self._finish(request, "cancelled")
        else:
            if kind in ("start", "step"):
                request.progress = event
            self._tell(request, event)

    def _finish(self, request: Request, state: str, reason: str = "") -> None:
        self._requests.remove(request)
        request.state = state
        request.reason = request.reason or reason
        if state == "done" and request.on_done:
            request.on_done(request.result)
        elif state == "failed" and request.on_failed:
            request.on_failed(request.reason)
        elif state == "cancelled" and request.on_cancelled:
            request.on_cancelled()

    @staticmethod
    def _tell(request: Request, event: dict[str, Any]) -> None:
        if request.on_event:
            request.on_event(event)

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is not None:
            self._process.send(json.dumps(message).encode() + b"\n")

    def _watch(self) -> None:
        if self._timer is None:
            try:
                import qt
            except ImportError:
                return  # no Qt: whoever waits calls `wait`
            self._timer = qt.QTimer()
            self._timer.setInterval(POLL_MS)
            self._timer.connect("timeout()", self.poll)
        self._timer.start()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.stop()


def worker_command() -> list[str]:
    """How the worker is started."""
    return [*core_command(), "worker"]
