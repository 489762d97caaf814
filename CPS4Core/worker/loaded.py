"""What stays in memory between requests: one engine, one prompt mapper, one volume's features."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from CPS4Core.progress import Progress

if TYPE_CHECKING:
    from CPS4Core.inference.engine import Engine
    from CPS4Core.prompt_maps.volume import PromptMapper, VolumeFeatures
    from CPS4Core.volumes.sagittal import SagittalStack

T = TypeVar("T")


class Kept(Generic[T]):
    """One value and the key of what it was made from; another key makes it anew."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._value: T | None = None

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value for this key, kept from the last time or made now."""
        if self._value is None or self._key != key:
            self.drop()  # first, so that two models need never fit the memory together
            self._value, self._key = make(), key
        return self._value

    def drop(self) -> None:
        """Forget the value, so that its memory can be freed."""
        self._key = self._value = None


class Relay(Progress):
    """Passes events to the request whose turn it is: an engine outlives the one that loaded it."""

    def __init__(self) -> None:
        super().__init__()
        self.target = Progress()

    def emit(self, event: dict[str, Any]) -> None:
        self.target.emit(event)


@dataclass(frozen=True)
class SeenVolume:
    """A volume as sagittal slices, and what the vision encoder sees in it."""

    stack: SagittalStack
    features: VolumeFeatures


class Loaded:
    """The worker's memory."""

    def __init__(self) -> None:
        self.engine: Kept[Engine] = Kept()
        self.mapper: Kept[PromptMapper] = Kept()
        self.seen: Kept[SeenVolume] = Kept()
        self.relay = Relay()
