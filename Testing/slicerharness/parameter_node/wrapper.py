"""The class decorator that turns annotations into parameters of a parameter node."""

from __future__ import annotations

import logging
import typing
import weakref
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk

from slicerharness.parameter_node.gui_connectors import (
    Decimals,
    GuiConnector,
    SingleStep,
    make_connector,
)
from slicerharness.parameter_node.serializers import Serializer, make_serializer
from slicerharness.parameter_node.validators import Default, Validator

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass
class Parameter:
    """One annotated attribute of the class."""

    name: str
    datatype: Any
    serializer: Serializer
    default: Any
    validators: list[Validator]

    def write(self, node: Any, value: Any) -> None:
        """Check the value and put it into the node, as one modification."""
        self.serializer.check(value)
        for validator in self.validators:
            validator.validate(value)
        with slicer.util.NodeModify(node):
            self.serializer.write(node, self.name, value)

    def read(self, node: Any) -> Any:
        """The value in the node; the default is written first where there is none."""
        if not self.serializer.is_in(node, self.name):
            self.write(node, self.default)
        return self.serializer.read(node, self.name)


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: dict[str, Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None):  # noqa: N803
        self.parameterNode = parameterNode
        self._connectors: dict[int, dict[str, GuiConnector]] = {}
        self._next_tag = 0
        self._updating = False
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def dataType(self, name: str) -> Any:
        return self._parameter(name).datatype

    def isCached(self, name: str) -> bool:
        return True

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def connectGui(self, gui: Any) -> None:
        """Bind each widget with the property SlicerParameterName. Returns None, as Slicer's."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else list(vars(gui).values())
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Bind widgets (or connectors) to parameters by name; a tag for disconnectGui()."""
        connectors = {
            name: w if isinstance(w, GuiConnector) else make_connector(w, self.dataType(name))
            for name, w in mapping.items()
        }
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._connectors[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, c=connector: self._from_gui(name, c))
        self._observe()
        return tag

    def disconnectGui(self, guiTag: int | None) -> None:  # noqa: N803
        """Undo one connectParametersToGui(); nothing for another tag."""
        for connector in self._connectors.pop(guiTag, {}).values():
            connector.onChanged(None)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> int:  # noqa: N803
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(
                f"Cannot find a param with the given name: {name} in {list(self.allParameters)}"
            )
        return self.allParameters[name]

    def _observe(self) -> None:
        """Follow the node, which must not know this object: see README.md, "Observers"."""
        reference = weakref.ref(self)

        def on_modified(*_: Any) -> None:
            alive = reference()
            if alive is not None:
                alive._to_gui()

        self.AddObserver(vtk.vtkCommand.ModifiedEvent, on_modified)

    def _from_gui(self, name: str, connector: GuiConnector) -> None:
        with slicer.util.NodeModify(self):
            if not self._updating:
                self.setValue(name, connector.read())

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._connectors.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updating = False


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator: each annotation becomes a parameter of the wrapped node."""
    return _wrap if classtype is None else _wrap(classtype)


def isParameterNodeWrapper(classOrObj: Any) -> bool:  # noqa: N803
    """Whether parameterNodeWrapper made it."""
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def _wrap(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _parameter(cls, name, hint) for name, hint in hints.items()}
    for name in parameters:
        if hasattr(_Wrapper, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(cls, name, _property(name))
    for name, member in vars(_Wrapper).items():
        if name == "__init__" or not name.startswith("__"):
            setattr(cls, name, member)
    cls.allParameters = parameters
    return cls


def _parameter(cls: type, name: str, hint: Any) -> Parameter:
    annotations: list[Any] = []
    type_ = hint
    if typing.get_origin(hint) is typing.Annotated:
        type_, *annotations = typing.get_args(hint)
    serializer = make_serializer(type_)
    defaults = [a.value for a in annotations if isinstance(a, Default)]
    default = getattr(cls, name, defaults[0] if defaults else serializer.default())
    validators = [a for a in annotations if isinstance(a, Validator)]
    known = (Default, Validator, Decimals, SingleStep)
    if unused := [a for a in annotations if not isinstance(a, known)]:
        logging.warning(f"Unused annotations: {unused}")
    return Parameter(name, hint, serializer, default, validators)


def _property(name: str) -> property:
    return property(
        lambda self: self.getValue(name), lambda self, value: self.setValue(name, value)
    )
