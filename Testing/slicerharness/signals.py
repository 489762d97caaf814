"""Signals connected by their C++ signature, as in `button.connect("clicked(bool)", f)`.

An exception in a slot is only printed by Slicer, where nobody sees it. Here it is also kept in
`slot_errors`, so that a test can fail on it.
"""

from __future__ import annotations

import re
import traceback
import types
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QMetaMethod, QObject, SignalInstance

from slicerharness.raw import get, meta_object

slot_errors: list[str] = []  # the traceback of every exception that escaped a slot

_connections: dict[tuple[int, str], list[tuple[Any, SignalInstance, Callable[..., None]]]] = {}


def connect(self: QObject, signature: str, receiver: Any, slot: str | None = None) -> bool:
    """`obj.connect("signal(args)", callable)` or `obj.connect("signal()", other, "slot()")`.

    Raises ValueError for a signal that the object does not have (Slicer prints and goes on).
    """
    if not isinstance(signature, str):
        raise TypeError("use connect('signal(args)', callable)")
    function = receiver if slot is None else getattr(receiver, split_signature(slot)[0])
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    signal = find_signal(self, signature)
    arguments = split_signature(signature)[1]
    _remember(self, signature, function, signal, None if arguments is None else len(arguments))
    return True


def disconnect(self: QObject, signature: str | None = None, receiver: Any = None) -> bool:
    """Undo one connect(); whether there was one."""
    entries = _connections.get((id(self), signature or ""), [])
    for entry in entries:
        if receiver is None or entry[0] == receiver:
            entry[1].disconnect(entry[2])
            entries.remove(entry)
            return True
    return False


def emit(owner: QObject, name: str, *arguments: Any) -> None:
    """Emit signal `name` (its Python name) of a harness widget."""
    get(owner, name).emit(*arguments)


class BoundSignal:
    """`obj.signal` as PythonQt gives it: to connect, disconnect, call or emit."""

    def __init__(self, owner: QObject, name: str, signal: SignalInstance):
        self._owner, self._name, self._signal = owner, name, signal

    def connect(self, function: Callable[..., Any]) -> bool:
        """Call `function` whenever the signal is emitted."""
        _remember(self._owner, self._name, function, self._signal, None)
        return True

    def disconnect(self, function: Callable[..., Any] | None = None) -> bool:
        """Undo one connect(), or without `function` all."""
        if function is not None:
            return disconnect(self._owner, self._name, function)
        found = False
        while disconnect(self._owner, self._name):
            found = True
        return found

    def emit(self, *arguments: Any) -> None:
        """Emit the signal."""
        self._signal.emit(*arguments)

    __call__ = emit


def find_signal(owner: QObject, signature: str) -> SignalInstance:
    """The PySide6 signal for a C++ signature; ValueError that lists the similar ones."""
    name, arguments = split_signature(signature)
    key = f"{name}({','.join(arguments or [])})"
    declared = getattr(type(owner), "mrml_signals", {})
    if key in declared:
        return get(owner, declared[key])
    meta = meta_object(owner)
    methods = [meta.method(k) for k in range(meta.methodCount())]
    known = [
        bytes(method.methodSignature().data()).decode()
        for method in methods
        if method.methodType() == QMetaMethod.MethodType.Signal
    ]
    if key not in known:
        similar = sorted(s for s in [*known, *declared] if s.startswith(name[:4]))
        raise ValueError(f"{meta.className()} has no signal {signature!r}; it has: {similar}")
    signal = get(owner, name)
    try:
        return signal[",".join(arguments)] if arguments else signal
    except (KeyError, IndexError):
        return signal


def split_signature(signature: str) -> tuple[str, list[str] | None]:
    """`"f(const A&, B*)"` as `("f", ["A", "B*"])`; None where no brackets were given."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", signature)
    if not match:
        raise ValueError(f"bad signal signature {signature!r}")
    if match.group(2) is None:
        return match.group(1), None
    types_ = [re.sub(r"\bconst\b|&|\s", "", part) for part in match.group(2).split(",")]
    return match.group(1), [t for t in types_ if t]


def guarded(function: Callable[..., Any], limit: int | None = None) -> Callable[..., None]:
    """`function` as a slot: with as many arguments as it takes, its exceptions kept."""
    count = _argument_count(function)
    if limit is not None:
        count = limit if count is None else min(count, limit)

    def slot(*arguments: Any) -> None:
        try:
            function(*(arguments if count is None else arguments[:count]))
        except Exception:
            slot_errors.append(traceback.format_exc())
            traceback.print_exc()

    return slot


def _remember(
    owner: QObject,
    key: str,
    function: Callable[..., Any],
    signal: SignalInstance,
    limit: int | None,
) -> None:
    slot = guarded(function, limit)
    entries = _connections.setdefault((id(owner), key), [])
    if not entries:  # ids are used again after the object is gone
        owner_id = (id(owner), key)
        QObject.destroyed.__get__(owner).connect(lambda *_: _connections.pop(owner_id, None))
    entries.append((function, signal, slot))
    signal.connect(slot)


def _argument_count(function: Callable[..., Any]) -> int | None:
    """How many arguments PythonQt passes; None for all."""
    bound = isinstance(function, types.MethodType)
    code = getattr(function.__func__ if bound else function, "__code__", None)
    if code is None or code.co_flags & 0x04:  # CO_VARARGS
        return None
    return code.co_argcount - (1 if bound else 0)
