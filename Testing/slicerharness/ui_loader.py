"""qt.QUiLoader that knows the qMRML* and ctk* classes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from PySide6 import QtWidgets
from PySide6.QtCore import QBuffer, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader as PySideUiLoader

from slicerharness.attributes import loading_ui
from slicerharness.registry import widget_classes
from slicerharness.signals import split_signature


class QUiLoader(PySideUiLoader):
    """Loads a .ui file; its connections whose types exist only in C++ are made in Python."""

    def load(self, device: Any, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """The root widget; RuntimeError for a widget class that is not known here."""
        root = ET.fromstring(
            bytes(device.readAll().data())
            if isinstance(device, QIODevice)
            else Path(device).read_bytes()
        )
        for name in _used_classes(root) & set(widget_classes):  # all of them would take a second
            self.registerCustomWidget(widget_classes[name])
        _resolve_enums(root)
        connections = _take_vtk_connections(root)
        buffer = QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        with loading_ui():
            widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        children = {QObject.objectName(o): o for o in [widget, *widget.findChildren(QObject)]}
        for name in children:
            vars(widget).pop(name, None)
        for sender, signal, receiver, slot in connections:
            function = getattr(children[receiver], split_signature(slot)[0])
            children[sender].connect(signal, function)
        return widget


def _used_classes(root: ET.Element) -> set[str]:
    """Names of the widget classes in a .ui file; RuntimeError for one that is not known here."""
    used = {widget.get("class", "") for widget in root.iter("widget")}
    known = {*widget_classes, "Line"}
    unknown = sorted(name for name in used - known if not hasattr(QtWidgets, name))
    if unknown:
        raise RuntimeError(f"the .ui uses widget classes that the harness does not know: {unknown}")
    return used


def _take_vtk_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Remove and return (sender, signal, receiver, slot) of connections with vtk types."""
    taken = []
    group = root.find("connections")
    for connection in list(group) if group is not None else []:
        parts = [connection.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")]
        if "vtk" in parts[1] and group is not None:
            group.remove(connection)
            taken.append((parts[0], parts[1], parts[2], parts[3]))
    return taken


def _resolve_enums(root: ET.Element) -> None:
    """Write `ctkPathLineEdit::Dirs|ctkPathLineEdit::Readable` as a number.

    QUiLoader finds no enumerations in classes made in Python.
    """
    for element in root.iter("property"):
        for tag in ("set", "enum"):
            names = [name.rpartition("::") for name in element.findtext(tag, "").split("|")]
            if names[0][0] in widget_classes:
                value = 0
                for class_name, _, name in names:
                    value |= int(getattr(widget_classes[class_name], name))
                element.remove(element.find(tag))
                ET.SubElement(element, "number").text = str(value)
