"""Modal dialogs, answered by the test instead of a user.

    dialogs.answer("Yes")            # the next message box: the button, by name
    dialogs.answer(None)             # the next file or input dialog is cancelled
    dialogs.answer("/a/folder")      # the next file dialog
    ...
    assert "overwrite" in dialogs.shown[-1].text

A message box with one button needs no answer. A question without one is an error, which a slot
keeps in `slot_errors`: no test hangs and none passes by accident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QDialog, QFileDialog, QInputDialog, QMessageBox

from slicerharness.signals import slot_errors

LONGEST_DIALOG_MS = 5000


@dataclass(frozen=True)
class Shown:
    """One dialog that was opened."""

    kind: str
    title: str
    text: str
    buttons: list[str] = field(default_factory=list)


shown: list[Shown] = []
_answers: list[Any] = []


def answer(*answers: Any) -> None:
    """Queue answers for the next dialogs, in order.

    For a message box the name of a button ("Ok", "Yes", "Cancel"), for a file dialog a path or
    paths, for an input dialog the text; None cancels; a callable is called with the dialog.
    """
    _answers.extend(answers)


def unused() -> list[Any]:
    """Answers that no dialog took."""
    return list(_answers)


def clear() -> None:
    """Forget what was shown and queued."""
    shown.clear()
    _answers.clear()


def install() -> None:
    """Put the answers in the place of Qt's modal dialogs."""
    for name in ("information", "warning", "critical", "question", "about"):
        setattr(QMessageBox, name, staticmethod(_static_box(name)))
    for name in (
        "getOpenFileName",
        "getOpenFileNames",
        "getSaveFileName",
        "getExistingDirectory",
    ):
        setattr(QFileDialog, name, staticmethod(_file_dialog(name)))
    for name in ("getText", "getItem"):
        setattr(QInputDialog, name, staticmethod(_input_dialog(name)))
    original = QDialog.exec
    for cls in (QDialog, QMessageBox, QFileDialog, QInputDialog):
        for name in ("exec", "exec_"):
            setattr(cls, name, lambda self, original=original: _run(self, original))


def _run(dialog: QDialog, original: Callable[[QDialog], int]) -> int:
    if isinstance(dialog, QMessageBox):
        names = _button_names(QMessageBox.standardButtons(dialog))
        names += [b.text for b in dialog.buttons() if not QMessageBox.standardButton(dialog, b)]
        return _answer_box("message", dialog.windowTitle, dialog.text, names, dialog)
    shown.append(Shown("dialog", dialog.windowTitle, ""))
    if _answers:
        reply = _answers.pop(0)
        if callable(reply):
            QTimer.singleShot(0, lambda: reply(dialog))
    QTimer.singleShot(LONGEST_DIALOG_MS, lambda: _too_long(dialog))
    return original(dialog)


def _too_long(dialog: QDialog) -> None:
    try:
        if dialog.visible:
            slot_errors.append(f"dialog {dialog.windowTitle!r} stayed open: nobody answered it")
            dialog.reject()
    except RuntimeError:
        pass  # deleted meanwhile


def _static_box(kind: str) -> Callable[..., Any]:
    default = {"question": QMessageBox.Yes | QMessageBox.No}.get(kind, QMessageBox.Ok)

    def show(parent: Any, title: str, text: str, buttons: Any = default, *_: Any) -> Any:
        names = _button_names(QMessageBox.StandardButtons(buttons))
        return QMessageBox.StandardButton(_answer_box(kind, title, text, names))

    return show


def _answer_box(
    kind: str, title: str, text: str, names: list[str], box: QMessageBox | None = None
) -> int:
    shown.append(Shown(kind, title, text, names))
    if len(names) <= 1:
        return int(getattr(QMessageBox, names[0] if names else "Ok"))
    if not _answers:
        raise AssertionError(f"no answer was prepared for the question {text!r} {names}")
    reply = _answers.pop(0)
    if callable(reply):
        return reply(box)
    if reply is None:
        reply = next(n for n in ("Cancel", "No", "Close", names[-1]) if n in names)
    if reply not in names:
        raise AssertionError(f"the question {text!r} has the buttons {names}, not {reply!r}")
    return int(getattr(QMessageBox, reply))


def _button_names(buttons: Any) -> list[str]:
    return [b.name for b in QMessageBox.StandardButton if b.value and b in buttons and b.name in (
        "Ok", "Open", "Save", "Cancel", "Close", "Discard", "Apply", "Reset", "Yes", "No",
        "Abort", "Retry", "Ignore",
    )]  # fmt: skip


def _file_dialog(name: str) -> Callable[..., Any]:
    def show(parent: Any = None, caption: str = "", *_: Any, **__: Any) -> Any:
        reply = _take(name, caption)
        if name == "getOpenFileNames":  # PythonQt returns the path without the filter
            return tuple(str(path) for path in reply or ())
        return str(reply) if reply is not None else ""

    return show


def _input_dialog(name: str) -> Callable[..., Any]:
    def show(parent: Any, title: str, label: str, *_: Any, **__: Any) -> str:
        reply = _take(name, title, label)
        return str(reply) if reply is not None else ""  # PythonQt leaves out the "ok"

    return show


def _take(kind: str, title: str, text: str = "") -> Any:
    shown.append(Shown(kind, title, text))
    if not _answers:
        raise AssertionError(f"no answer was prepared for {kind} {title!r}")
    return _answers.pop(0)
