"""The Slicer module "CPS4 Spine Segment": its entry in the module list, its panel and its logic.

No annotation here is postponed: parameterNodeWrapper reads them while Slicer is loading this file,
when names in strings may not be found yet.
"""

from collections.abc import Callable
from typing import Annotated, Any

import slicer
from CPS4SegmentLib import self_test
from CPS4SegmentLib.exchange import remove_left_behind
from CPS4SegmentLib.machine_settings import MachineSettings
from CPS4SegmentLib.panel import Panel
from CPS4SegmentLib.segmentation_run import SegmentationRun
from CPS4SegmentLib.terminology import load_terminology
from CPS4SegmentLib.worker_client import WorkerClient
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class CPS4Segment(ScriptedLoadableModule):
    """What Slicer shows of the module before anybody opens it."""

    def __init__(self, parent: Any):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CPS4 Spine Segment")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Colors", "Segmentations", "Terminologies"]
        self.parent.contributors = ["The CPS4 spine segmentation project"]
        self.parent.helpText = _(
            "Segments and names vertebrae and discs in sagittal spine MRI, shows what the model"
            " attends to, and takes corrections back for the next training. For research only:"
            " it is no medical device, and a person must check every result."
        )
        self.parent.acknowledgementText = _(
            "The models that come along name the data they learned from, and their licence, in"
            " the list of models."
        )
        slicer.app.connect("startupCompleted()", load_terminology)


@parameterNodeWrapper
class CPS4SegmentParameterNode:
    """What belongs to the scene and is saved with it; what belongs to the machine is in QSettings.

    model: name of the chosen model, or its folder where two have the same name; empty: the default.
    promptClass: the class prompt whose map is shown, or empty.
    ownPrompt: the user's own prompt text.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    model: str = ""
    show3D: bool = False
    promptClass: str = ""
    mapOpacity: Annotated[float, WithinRange(0, 1)] = 0.5
    mapOutline: bool = True
    ownPrompt: str = ""


class CPS4SegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The shell: builds the panel and forwards to it what Slicer tells a module."""

    def __init__(self, parent: Any = None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CPS4SegmentLogic()
        self.panel = Panel(self.logic, MachineSettings(), self.resourcePath)
        self.layout.addWidget(self.panel.frame)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.panel.scene_closes())
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.panel.scene_closed())
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            self.addObserver(scene, event, lambda *_: self.panel.changed())

    def enter(self) -> None:
        self.panel.enter()

    def exit(self) -> None:
        self.panel.exit()

    def cleanup(self) -> None:
        """Called when Slicer closes or reloads the module, in the middle of a run too."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
        if self.logic is not None:
            self.logic.close()


class CPS4SegmentLogic(ScriptedLoadableModuleLogic):
    """The module's work without its panel, for scripts too.

    Example, in a script or the Python console::

        logic = CPS4SegmentLogic()
        segmentation = logic.segment(slicer.util.getNode("T2*"))
        logic.close()
    """

    def __init__(self, worker: WorkerClient | None = None):
        ScriptedLoadableModuleLogic.__init__(self)
        remove_left_behind()
        self.worker = worker or WorkerClient()

    def getParameterNode(self) -> CPS4SegmentParameterNode:
        return CPS4SegmentParameterNode(super().getParameterNode())  # type: ignore[call-arg]

    def segment(
        self,
        volume: vtkMRMLScalarVolumeNode,
        model: str | None = None,
        device: str = "auto",
        segmentation: vtkMRMLSegmentationNode | None = None,
        on_event: Callable[[dict], None] | None = None,
        timeout: float | None = None,
    ) -> vtkMRMLSegmentationNode:
        """Segment a volume and wait; return the new node, or the given one with new contents.

        model: name or folder; None takes the installed default. timeout: in seconds.
        Raises CPS4Error for an input that cannot be segmented and where the worker fails.
        """
        run = SegmentationRun(self.worker, volume, model, device, segmentation)
        run.start(on_event=on_event)
        return run.wait(timeout)

    def close(self) -> None:
        """Stop the worker process."""
        self.worker.stop()


class CPS4SegmentTest(self_test.SelfTest):
    """The module's self-test, where Slicer looks for it.

    The base class has no name of its own here: unittest would find it, and run every test twice.
    """
