"""`slicer.modules`: Slicer's own modules by their logic, and scripted modules loaded from files."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any


class Module:
    """What `slicer.modules.NAME` gives (qSlicerAbstractCoreModule)."""

    def __init__(self, name: str, logic: Any = None, path: str = ""):
        self.name, self.title, self.path = name, name, path
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self._logic = logic
        self._widget: Any = None

    def logic(self) -> Any:
        if self._logic is None:
            raise RuntimeError(f"the harness has no logic of module {self.name}")
        return self._logic

    def widgetRepresentation(self) -> Any:
        return self._widget

    def __repr__(self) -> str:
        return f"<module {self.name}>"


class ScriptedModule(Module):
    """A module in Python; its constructor gets this object as `parent`."""

    def __init__(self, name: str, path: str):
        super().__init__(name, path=path)
        self.icon: Any = None
        self.hidden = False
        self.contributors: list[str] = []
        self.helpText = self.acknowledgementText = ""

    def logic(self) -> Any:
        """None: in Slicer the logic of a scripted module belongs to its widget."""
        return None

    def widgetRepresentation(self) -> Any:
        """The panel, made when first asked for."""
        if self._widget is None:
            from slicerharness.widgets.module_widget import qSlicerScriptedLoadableModuleWidget

            self._widget = qSlicerScriptedLoadableModuleWidget._make(self.name)
        return self._widget

    createNewWidgetRepresentation = widgetRepresentation


class Modules(types.SimpleNamespace):
    """The name space `slicer.modules`."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"slicer.modules has no '{name}' in the harness: {sorted(vars(self))}")


class ModuleManager:
    """slicer.app.moduleManager(), also as its own factory manager."""

    def __init__(self) -> None:
        self._unload_slots: list[Callable[[str], Any]] = []

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        if signature == "moduleAboutToBeUnloaded(QString)":
            self._unload_slots.append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        if slot in self._unload_slots:
            self._unload_slots.remove(slot)
            return True
        return False

    def module(self, name: str) -> Module | None:
        found = _modules().get(name.lower())
        return found if isinstance(found, Module) else None

    def modulesNames(self) -> list[str]:
        return [m.name for m in _modules().values() if isinstance(m, Module)]

    loadedModuleNames = modulesNames

    def factoryManager(self) -> ModuleManager:
        return self

    def isLoaded(self, name: str) -> bool:
        return self.module(name) is not None

    def _about_to_unload(self, name: str) -> None:
        for slot in list(self._unload_slots):
            slot(name)


def load_module(path: str | os.PathLike[str]) -> tuple[types.ModuleType, Any]:
    """Load a scripted module as Slicer does: (its Python module, its widget after setup()).

    The widget is None if the module has none. Exceptions of the module are raised, not printed.
    """
    import slicer

    path = os.path.abspath(path)
    folder, file_name = os.path.split(path)
    name = os.path.splitext(file_name)[0]
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)

    module = ScriptedModule(name, path)
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, name + "Instance", getattr(python_module, name)(module))
    panel = module.widgetRepresentation() if hasattr(python_module, name + "Widget") else None
    return python_module, panel.self() if panel is not None else None


def unload_module(name: str) -> None:
    """Unload a scripted module as Slicer does at its end: cleanup(), then the panel goes."""
    import slicer

    module = slicer.app.moduleManager().module(name)
    if slicer.util.mainWindow() is not None:
        slicer.util.moduleSelector()._forget(name)
    slicer.app.moduleManager()._about_to_unload(name)
    panel = module._widget
    for attribute in (name.lower(), name + "Instance", name + "Widget"):
        vars(slicer.modules).pop(attribute, None)
    if panel is not None:
        panel._drop()


def _modules() -> dict[str, Any]:
    import slicer

    return vars(slicer.modules)
