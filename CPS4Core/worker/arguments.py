"""The arguments of a command: a dataclass says which there are, of which type, with which default.

Done here in a few lines and not with pydantic, because the worker answers before it is installed.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from CPS4Core.errors import CPS4Error

T = TypeVar("T")

_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object"}


def read_arguments(declared: type[T], given: dict[str, Any], command: str) -> T:
    """An instance of the dataclass `declared`; raises CPS4Error for one missing, foreign or wrong.

    Types may be str, int, bool, dict, lists of these, and unions with None.
    """
    hints = get_type_hints(declared)
    for name in given:
        if name not in hints:
            raise CPS4Error(
                f"The command '{command}' has no argument '{name}'",
                cure=f"Known: {', '.join(hints) or 'none'}",
            )
        if not _fits(given[name], hints[name]):
            raise CPS4Error(
                f"The argument '{name}' of '{command}' is {str(given[name])[:60]!r}",
                cure=f"Give {_wording(hints[name])}",
            )
    for field in fields(declared):  # type: ignore[arg-type]
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in given:
            raise CPS4Error(
                f"The command '{command}' needs the argument '{field.name}'",
                cure=f"Give {_wording(hints[field.name])}",
            )
    return declared(**given)


def _fits(value: Any, hint: Any) -> bool:
    if _is_union(hint):
        return any(_fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    kind = get_origin(hint) or hint
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _wording(hint: Any) -> str:
    if _is_union(hint):
        return " or ".join(_wording(choice) for choice in get_args(hint))
    if hint is NoneType:
        return "null"
    if get_origin(hint) is list:
        return f"a list, each item {_wording(get_args(hint)[0])}"
    return _WORDS[get_origin(hint) or hint]


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)
