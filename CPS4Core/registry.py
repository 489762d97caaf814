"""Classes known by name: methods of stage 2, objectives of stage 1."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import ClassVar, Generic, Protocol, TypeVar

from CPS4Core.errors import CPS4Error


class Named(Protocol):
    """What a registered class gets."""

    name: ClassVar[str]
    source: ClassVar[str]


C = TypeVar("C", bound=Named)


class Registry(Generic[C]):
    """The classes that the modules of `package` register.

    what: what one of them is called; of: what errors add to a name that is not known.
    """

    def __init__(self, what: str, package: str, of: str = ""):
        self._what, self._package, self._of = what, package, of
        self._known: dict[str, type[C]] = {}

    def register(self, name: str, source: str) -> Callable[[type[C]], type[C]]:
        """Class decorator that makes a class known by name; a name may be taken only once."""

        def add(cls: type[C]) -> type[C]:
            if name in self._known:
                raise ValueError(f"{self._what} '{name}' is registered twice")
            cls.name, cls.source = name, source
            self._known[name] = cls
            return cls

        return add

    def all(self) -> dict[str, type[C]]:
        """All classes by name; imports every module of the package."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        return dict(sorted(self._known.items()))

    def find(self, name: str) -> type[C]:
        """The class of that name; raises CPS4Error that lists the known ones."""
        known = self.all()
        if name not in known:
            raise CPS4Error(
                f"No {self._what} '{name}'{self._of}",
                cure=f"Known {self._what}s: {', '.join(known)}",
            )
        return known[name]
