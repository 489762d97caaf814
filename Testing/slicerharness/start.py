"""Start the environment: after start() `import slicer, qt, ctk, vtk` work as in Slicer."""

from __future__ import annotations

import ctypes
import sys
import types
from typing import Any

import slicer
import vtk

from slicerharness.signals import keep_printed_errors


def start(testing: bool = False, main_window: bool = True) -> Any:
    """Make slicer.app, slicer.mrmlScene, slicer.modules, qt and ctk; once in a process.

    With `testing` slicer.util answers every question itself, as Slicer's --testing does; else
    the test answers them (dialogs.py). Without `main_window` (--no-main-window) there is no layout
    manager. Returns slicer.app.
    """
    if hasattr(slicer, "app"):
        return slicer.app
    _outlast_lost_references()
    keep_printed_errors()
    vtk.vtkOutputWindow.GetInstance().SetDisplayModeToAlwaysStdErr()
    _name_slicer_libraries()
    _make_qt_modules()
    from slicerharness import i18n, packaging
    from slicerharness.application import qSlicerApplication

    packaging.install()
    i18n.install()
    app = slicer.app = qSlicerApplication(["Slicer"])
    app.setOrganizationName("slicer.org")
    app.setApplicationName("Slicer")
    app._begin(testing, main_window)
    _make_python_modules()
    return app


def _make_qt_modules() -> None:
    from slicerharness import qt_module

    sys.modules["qt"] = qt_module.build()
    ctk = sys.modules["ctk"] = types.ModuleType("ctk", "CTK's widgets")
    from slicerharness import widgets
    from slicerharness.registry import widget_classes

    widgets.import_all()
    for name, cls in widget_classes.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, cls)


def _make_python_modules() -> None:
    """The Python packages of Slicer that slicer-core leaves out."""
    from slicerharness import parameter_node, scripted_module

    _publish("slicer.ScriptedLoadableModule", scripted_module)
    _publish("slicer.parameterNodeWrapper", parameter_node)
    slicer.selfTests = {}


def _publish(name: str, module: types.ModuleType) -> None:
    sys.modules[name] = module
    setattr(slicer, name.split(".")[1], module)


def _name_slicer_libraries() -> None:
    """Slicer's own names of its wrapped libraries: MRMLCorePython, vtkSegmentationCorePython."""
    for name in [n for n in sys.modules if n.startswith("slicer_core.")]:
        library = name.split(".")[1]
        sys.modules.setdefault(library + "Python", sys.modules[name])
        sys.modules.setdefault(library, sys.modules[name])


def _outlast_lost_references() -> None:
    """Keep None, True and False alive: PySide6 6.12 drops a reference to them at every signal.

    From Python 3.12 on they cannot die; before, the process would end with a fatal error.
    """
    if sys.version_info < (3, 12):
        for value in (None, True, False):
            ctypes.c_ssize_t.from_address(id(value)).value += 1 << 40
