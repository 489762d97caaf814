"""What the worker says of this machine: the models it can use and the devices it can compute on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CPS4SegmentLib.machine_settings import MachineSettings
from CPS4SegmentLib.worker_client import Request, WorkerClient


class Discovery:
    """Asks the worker for models and devices and keeps the answers.

    models, devices: as in the worker's answers to `models` and `probe`; None until known.
    default_device: what the device `auto` means. broken: names of packages that are installed and
    cannot be used. problem: why there is no answer, or empty.
    changed: called after every answer; say: called with what the worker says meanwhile, and level.
    """

    def __init__(
        self,
        worker: WorkerClient,
        settings: MachineSettings,
        changed: Callable[[], None],
        say: Callable[[str, str], None],
    ):
        self._worker, self._settings, self._changed, self._say = worker, settings, changed, say
        self._asked: list[Request] = []
        self.models: list[dict[str, Any]] | None = None
        self.devices: list[dict[str, Any]] | None = None
        self.default_device = ""
        self.broken: set[str] = set()
        self.problem = ""

    @property
    def looking(self) -> bool:
        """Whether an answer is still to come."""
        return any(not request.over for request in self._asked)

    @property
    def usable_device(self) -> str:
        """The device that the user chose, or `auto` where it is not there (any more)."""
        known = [str(device["name"]) for device in self.devices or []]
        chosen = self._settings.device
        return chosen if self.devices is None or chosen in known else "auto"

    def look(self) -> None:
        """Ask for everything; the answers come later."""
        self.forget()
        self.look_for_models()
        self._ask("probe", {}, self._take_devices)

    def look_for_models(self, then: Callable[[], None] | None = None) -> None:
        """Ask for the models only; `then` is called once they are known."""

        def take(result: dict[str, Any]) -> None:
            self.models = list(result.get("models") or [])
            self.problem = ""
            if then:
                then()

        self._ask("models", {"folders": self._settings.model_folders}, take)

    def forget(self) -> None:
        """Drop what was asked for and not yet answered."""
        for request in self._asked:
            request.forget()
        self._asked = []
        self.problem = ""

    def usable_models(self) -> list[dict[str, Any]]:
        """The models without a problem."""
        return [model for model in self.models or [] if not model.get("problem")]

    def find_model(self, key: str) -> dict[str, Any] | None:
        """The model of that folder or name; for an empty key the first that can be used."""
        models = self.models or []
        if not key:
            return next(iter(self.usable_models()), None)
        for field in ("folder", "name"):
            for model in models:
                if str(model.get(field)) == key:
                    return model
        return None

    def _ask(self, command: str, arguments: dict[str, Any], take: Callable[[dict], None]) -> None:
        def done(result: dict[str, Any]) -> None:
            take(result)
            self._changed()

        request = self._worker.submit(
            command, arguments, self._hear, done, self._fail, self._changed
        )
        self._asked = [*(r for r in self._asked if not r.over), request]

    def _take_devices(self, result: dict[str, Any]) -> None:
        self.devices = list(result.get("devices") or [])
        self.default_device = str(result.get("default") or "cpu")
        self.broken = {str(r).partition(">=")[0] for r in result.get("missing") or []}

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("event") == "message":
            self._say(str(event.get("message")), str(event.get("level") or "info"))

    def _fail(self, reason: str) -> None:
        self.problem = reason
        self._changed()
