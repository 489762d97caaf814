"""Slice and 3D views: the real view logics and displayable managers, rendered off screen."""

from __future__ import annotations

import os
from typing import Any

import slicer
import vtk

SLICE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class View:
    """A render window that displayable managers draw into."""

    def __init__(self, size: tuple[int, int]):
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)

    def renderWindow(self) -> Any:
        return self._window

    def interactor(self) -> Any:
        return self._interactor

    def forceRender(self) -> None:
        self._window.Render()

    scheduleRender = forceRender

    def _add_managers(self, factory: Any, names: tuple[str, ...], application_logic: Any) -> None:
        factory.SetMRMLApplicationLogic(application_logic)
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group.Initialize(factory, self._renderer)

    def _image(self) -> Any:
        """The rendered picture, vtkImageData RGB."""
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        return grabber.GetOutput()

    def _save(self, path: str | os.PathLike[str]) -> None:
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(os.fspath(path))
        writer.SetInputData(self._image())
        writer.Write()


class SliceView(View):
    """One slice view; it stands for qMRMLSliceWidget and its qMRMLSliceView at once."""

    def __init__(self, name: str, orientation: str, scene: Any, application_logic: Any):
        size = (400, 400)
        super().__init__(size)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._actor.SetVisibility(False)
        self._renderer.AddViewProp(self._actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self._add_managers(factory, SLICE_MANAGERS, application_logic)

        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._node = self._logic.AddSliceNode(name)
        self._node.SetOrientation(orientation)
        # A closed scene takes the orientation from its slice nodes; Slicer's layout gives it back.
        again = slicer.vtkMRMLScene.EndCloseEvent
        scene.AddObserver(again, lambda *_: self._node.SetOrientation(orientation))
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._group.SetMRMLDisplayableNode(self._node)
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        self._resize(size)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> SliceView:
        return self

    def sliceController(self) -> SliceView:
        return self

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def _resize(self, size: tuple[int, int]) -> None:
        self._window.SetSize(*size)
        self._node.SetDimensions(size[0], size[1], 1)
        self._logic.ResizeSliceNode(*size)

    def _update(self) -> None:
        port = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(port)
        self._actor.SetVisibility(bool(port))


class ThreeDView(View):
    """The 3D view; it stands for qMRMLThreeDWidget and its qMRMLThreeDView at once."""

    def __init__(self, scene: Any, application_logic: Any):
        super().__init__((400, 400))
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self._add_managers(factory, THREE_D_MANAGERS, application_logic)
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._node = self._logic.AddViewNode("1")
        application_logic.GetViewLogics().AddItem(self._logic)
        self._group.SetMRMLDisplayableNode(self._node)

    def mrmlViewNode(self) -> Any:
        return self._node

    def threeDView(self) -> ThreeDView:
        return self

    def threeDController(self) -> ThreeDView:
        return self

    def resetFocalPoint(self) -> None:
        self._renderer.ResetCamera()
        self._renderer.ResetCameraClippingRange()

    def _resize(self, size: tuple[int, int]) -> None:
        self._window.SetSize(*size)
