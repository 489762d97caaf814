"""How a value of each type lies in a vtkMRMLScriptedModuleNode: as a string, or as a reference."""

from __future__ import annotations

import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer


class Serializer:
    """A value as the string of one parameter."""

    def __init__(
        self,
        accepted: tuple[type, ...],
        default: Any,
        to_text: Callable[[Any], str] = str,
        from_text: Callable[[str], Any] = str,
    ):
        self.accepted, self._default = accepted, default
        self._to_text, self._from_text = to_text, from_text

    def default(self) -> Any:
        """The value of a new parameter without a default of its own."""
        return self._default

    def check(self, value: Any) -> None:
        """Raise where the value has the wrong type."""
        if value is None:
            raise ValueError("Value must not be None")
        if not isinstance(value, self.accepted):
            raise TypeError(f"Value must be of type {self.accepted}, is {value!r}")

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the node has the parameter."""
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        """Put the value into the node."""
        node.SetParameter(name, self._to_text(value))

    def read(self, node: Any, name: str) -> Any:
        """The value in the node."""
        return self._from_text(node.GetParameter(name))


class NodeSerializer(Serializer):
    """A node, as a node reference; an empty parameter says that it was set."""

    def __init__(self, accepted: tuple[type, ...]):
        super().__init__(accepted, None)

    def check(self, value: Any) -> None:
        if value is not None:
            super().check(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)


class OptionalSerializer(Serializer):
    """A value or None, which a second parameter tells."""

    def __init__(self, inner: Serializer):
        super().__init__(inner.accepted, None)
        self._inner = inner

    def check(self, value: Any) -> None:
        if value is not None:
            self._inner.check(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(f"{name}_isNone", str(value is None))
        self._inner.write(node, name, self._inner.default() if value is None else value)

    def read(self, node: Any, name: str) -> Any:
        is_none = node.GetParameter(f"{name}_isNone") == "True"
        return None if is_none else self._inner.read(node, name)


def make_serializer(type_: Any) -> Serializer:
    """The serializer of a type; Exception where there is none."""
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        members = [m for m in typing.get_args(type_) if m is not type(None)]
        if all(_is_node(m) for m in members):
            return NodeSerializer(tuple(members))
        if len(members) == 1:
            return OptionalSerializer(make_serializer(members[0]))
    if type_ is bool:
        return Serializer((bool,), False, str, lambda text: text == "True")
    if type_ is int:
        return Serializer((int,), 0, str, int)
    if type_ is float:
        return Serializer((int, float), 0, str, float)
    if type_ is str:
        return Serializer((str,), "")
    if isinstance(type_, type) and issubclass(type_, pathlib.PurePath):
        return Serializer((type_,), type_(), str, type_)
    if _is_node(type_):
        return NodeSerializer((type_,))
    raise Exception(f"Unable to create serializer for type: {type_} (in the harness)")


def _is_node(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)
