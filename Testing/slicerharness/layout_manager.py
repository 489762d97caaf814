"""slicer.app.layoutManager(): the views by name, and the real layout node."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal

from slicerharness.registry import cpp_class
from slicerharness.signals import emit
from slicerharness.views import SliceView, ThreeDView

SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


@cpp_class
class qSlicerLayoutManager(QObject):  # noqa: N801
    """Red, Yellow and Green slice views and one 3D view, whatever the layout.

    All exist from the start, as in Slicer's usual layout; each renders when asked to.
    """

    layoutChanged = Signal(int)

    def __init__(self, scene: Any, application_logic: Any):
        super().__init__()
        self._slices = {
            name: SliceView(name, orientation, scene, application_logic)
            for name, orientation in SLICE_VIEWS.items()
        }
        self._three_d = ThreeDView(scene, application_logic)
        # After the views: it makes view nodes that lack the slice orientations otherwise.
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(scene)
        self._logics = application_logic.GetSliceLogics()

    @Property(int)
    def threeDViewCount(self) -> int:
        return 1

    def _layout(self) -> int:
        return self._layout_logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        self._layout_logic.GetLayoutNode().SetViewArrangement(layout)
        emit(self, "layoutChanged", layout)

    layout = Property(int, _layout, setLayout)

    def layoutLogic(self) -> Any:
        return self._layout_logic

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> SliceView | None:
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> ThreeDView | None:
        return self._three_d if index == 0 else None

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def resetSliceViews(self) -> None:
        for view in self._slices.values():
            view.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        self._three_d.resetFocalPoint()


LayoutManager = qSlicerLayoutManager
