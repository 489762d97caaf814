"""The main window: what slicer.util looks for in it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QMainWindow, QScrollArea, QToolBar

from slicerharness.registry import cpp_class
from slicerharness.signals import emit


@cpp_class
class qSlicerModuleSelectorToolBar(QToolBar):  # noqa: N801
    """Switches modules: exit() of the one shown, enter() of the next."""

    moduleSelected = Signal(str)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._selected = ""

    @Property(str)
    def selectedModule(self) -> str:
        return self._selected

    def selectModule(self, name: str) -> None:
        """Show the module's panel; nothing if there is none of this name."""
        import slicer

        module = slicer.app.moduleManager().module(name)
        if module is None or name == self._selected:
            return
        before = slicer.app.moduleManager().module(self._selected)
        self._selected = name
        if before is not None and before.widgetRepresentation() is not None:
            before.widgetRepresentation()._leave()
        panel = module.widgetRepresentation()
        self.parentWidget()._show_panel(panel)
        if panel is not None:
            panel._enter()
        emit(self, "moduleSelected", name)

    def _forget(self, name: str) -> None:
        """A module is being unloaded: if it is shown, leave it."""
        if name == self._selected:
            import slicer

            slicer.app.moduleManager().module(name).widgetRepresentation()._leave()
            self.parentWidget()._show_panel(None)
            self._selected = ""


@cpp_class
class qSlicerMainWindow(QMainWindow):  # noqa: N801
    """Module panel in a scroll area, module selector and status bar."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._panels = QScrollArea()
        self._panels.setWidgetResizable(True)
        self.setCentralWidget(self._panels)
        self.statusBar()

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def _show_panel(self, panel: Any) -> None:
        if self._panels.widget() is not None:
            self._panels.takeWidget()
        if panel is not None:
            self._panels.setWidget(panel)
            panel.show()


MainWindow = qSlicerMainWindow
