"""A small scripted module for the tests of the environment itself."""

from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Sample(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("Sample of a module")
        self.parent.categories = ["Testing"]


@parameterNodeWrapper
class SampleParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    outline: bool = True
    note: str
    view: Annotated[str, Choice(["axial", "sagittal"])] = "sagittal"


class SampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        super().__init__(parent)
        self.history = []

    def setup(self):
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/Sample.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClose)
        self.parameters = SampleParameterNode(self.logic.getParameterNode())
        bound = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
        bound.pop(None)
        # connectGui() gives no tag to disconnect by
        self.tag = self.parameters.connectParametersToGui(bound)
        self.history.append("setup")

    def enter(self):
        self.history.append("enter")

    def exit(self):
        self.history.append("exit")

    def cleanup(self):
        self.removeObservers()
        self.parameters.disconnectGui(self.tag)
        self.history.append("cleanup")

    def onClose(self, caller, event):
        self.history.append("closed")

    def onApply(self):
        with slicer.util.tryWithErrorDisplay("The sample failed.", waitCursor=True):
            maximum = self.logic.maximum(self.parameters.inputVolume)
            self.ui.statusLabel.text = f"maximum {maximum:g}"


class SampleLogic(ScriptedLoadableModuleLogic):
    def maximum(self, volume):
        if volume is None:
            raise ValueError("No volume was chosen.")
        return volume.GetImageData().GetScalarRange()[1]


class SampleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_maximum()

    def test_maximum(self):
        image = vtk.vtkImageData()
        image.SetDimensions(2, 2, 2)
        image.AllocateScalars(vtk.VTK_SHORT, 1)
        image.GetPointData().GetScalars().Fill(7)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        volume.SetAndObserveImageData(image)
        self.assertEqual(SampleLogic().maximum(volume), 7)
        self.assertTrue(qt.QCoreApplication.instance() is not None)
        self.delayDisplay("passed")
