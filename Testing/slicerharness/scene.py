"""The MRML scene with the logics that Slicer's own modules would add to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

# The loadable modules whose logic slicer-core has, in the order in which Slicer loads them.
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "SceneViews": "vtkSlicerSceneViewsModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
}


def make_scene(temporary_path: str) -> tuple[Any, Any, list[Any]]:
    """(scene, application logic, objects to keep alive) as Slicer sets them up at start."""
    scene = slicer.vtkMRMLScene()
    scene.SetRootDirectory(temporary_path)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(temporary_path)
    _write_colors(Path(temporary_path), logic)
    logic.SetMRMLScene(scene)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())

    Path(temporary_path, ".slicer-cache").touch()  # else the cache manager warns
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(temporary_path)
    cache.SetMRMLScene(scene)
    scene.SetCacheManager(cache)
    data = slicer.vtkDataIOManager()
    data.SetCacheManager(cache)
    scene.SetDataIOManager(data)

    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    logic.GetColorLogic().SetMRMLScene(scene)
    return scene, logic, [cache, data]


def make_module_logics(scene: Any, application_logic: Any) -> dict[str, Any]:
    """The logic of each loadable module, attached to the scene."""
    logics = {}
    for name, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        logics[name] = logic
    application_logic.GetColorLogic().AddDefaultColorNodes()
    return logics


@contextmanager
def quiet() -> Iterator[None]:
    """Without VTK's complaints of Slicer's data files, which slicer-core does not have."""
    before = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(before)


def _write_colors(home: Path, application_logic: Any) -> None:
    """The colour table that Slicer's label maps start with (GenericColors), in a few colours."""
    application_logic.SetHomeDirectory(str(home))
    application_logic.SetShareDirectory("share")
    folder = home / "share" / "ColorFiles"
    folder.mkdir(parents=True)
    values = [0, 85, 170, 255]
    colors = [(r, g, b) for r in values for g in values for b in values]
    lines = [f"{k} region_{k} {r} {g} {b} 255" for k, (r, g, b) in enumerate(colors) if k]
    (folder / "GenericColors.txt").write_text(
        "\n".join(["0 background 0 0 0 0", *lines]) + "\n", encoding="utf-8"
    )
