"""slicer.app.coreIOManager(): reading and writing by file type, by the real logics and storages."""

from __future__ import annotations

import os
from typing import Any

import slicer
import vtk

# Longest suffixes first: ".seg.nrrd" is a segmentation, ".nrrd" a volume.
FILE_TYPES = {
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "SceneFile": (".mrb", ".mrml"),
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".dcm", ".tif", ".png"),
    "ColorTableFile": (".ctbl", ".csv"),
    "ModelFile": (".vtk", ".vtp", ".stl", ".ply", ".obj"),
    "TransformFile": (".h5", ".tfm"),
}


class IOManager:
    """The methods of qSlicerCoreIOManager that slicer.util calls."""

    def fileType(self, filename: str) -> str:
        lower = str(filename).lower()
        for file_type, suffixes in FILE_TYPES.items():
            if lower.endswith(suffixes):
                return file_type
        return "NoFile"

    def fileWriterFileType(self, node: Any) -> str:
        for class_name, file_type in (
            ("vtkMRMLSegmentationNode", "SegmentationFile"),
            ("vtkMRMLColorTableNode", "ColorTableFile"),
            ("vtkMRMLModelNode", "ModelFile"),
            ("vtkMRMLMarkupsNode", "MarkupsFile"),
            ("vtkMRMLTransformNode", "TransformFile"),
            ("vtkMRMLVolumeNode", "VolumeFile"),
        ):
            if node.IsA(class_name):
                return file_type
        return "NoFile"

    def loadNodes(
        self, file_type: str, properties: dict[str, Any], nodes: Any = None, messages: Any = None
    ) -> bool:
        """Load a file into the scene; False, and a message, where that fails."""
        path = str(properties["fileName"])
        if not os.path.exists(path):
            if messages:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"file not found: {path}")
            return False
        if file_type == "SceneFile":
            return self._load_scene(path, bool(properties.get("clear")))
        loader = _LOADERS.get(file_type)
        if loader is None:
            raise NotImplementedError(f"the harness cannot load a {file_type}")
        node = loader(path, properties)
        if node is None:
            return False
        if nodes is not None:
            nodes.AddItem(node)
        return True

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Save one node; False where that fails."""
        path = str(properties["fileName"])
        if file_type == "SceneFile":
            return self.saveScene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def saveScene(self, filename: str, screenShot: Any = None) -> bool:
        """Save the scene as .mrb, or as .mrml (that file alone)."""
        if filename.endswith(".mrb"):
            return bool(slicer.mrmlScene.WriteToMRB(filename))
        return bool(slicer.mrmlScene.Commit(filename))

    def addDefaultStorageNodes(self) -> None:
        """Give every node that lacks one a place to be saved to."""
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            if node.GetSaveWithScene():
                node.AddDefaultStorageNode()

    def _load_scene(self, path: str, clear: bool) -> bool:
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.ReadFromMRB(path, clear))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Connect() if clear else slicer.mrmlScene.Import())


def _name(path: str, properties: dict[str, Any]) -> str:
    return properties.get("name") or os.path.basename(path).split(".")[0]


def _load_volume(path: str, properties: dict[str, Any]) -> Any:
    flags = ("labelmap", "center", "singleFile", "autoWindowLevel", "discardOrientation")
    defaults = {"autoWindowLevel": True}
    options = sum(
        1 << bit for bit, flag in enumerate(flags) if properties.get(flag, defaults.get(flag))
    )
    names = vtk.vtkStringArray()
    for name in properties.get("fileNames", []):
        names.InsertNextValue(name)
    node = slicer.modules.volumes.logic().AddArchetypeVolume(
        path, _name(path, properties), options, names if names.GetNumberOfValues() else None
    )
    if node and properties.get("show", True):
        _show_volume(node, bool(properties.get("labelmap")))
    return node


def _show_volume(node: Any, labelmap: bool) -> None:
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    select = selection.SetActiveLabelVolumeID if labelmap else selection.SetActiveVolumeID
    select(node.GetID())
    logic.PropagateVolumeSelection(1)


def _load_segmentation(path: str, properties: dict[str, Any]) -> Any:
    node = slicer.modules.segmentations.logic().LoadSegmentationFromFile(
        path, properties.get("autoOpacities", True), properties.get("name", "")
    )
    if node:
        node.CreateDefaultDisplayNodes()
    return node


def _load_markups(path: str, properties: dict[str, Any]) -> Any:
    node_id = slicer.modules.markups.logic().LoadMarkups(path, _name(path, properties), None)
    return slicer.mrmlScene.GetNodeByID(node_id) if node_id else None


_LOADERS = {
    "VolumeFile": _load_volume,
    "SegmentationFile": _load_segmentation,
    "MarkupsFile": _load_markups,
    "ColorTableFile": lambda path, properties: (
        slicer.app.applicationLogic().GetColorLogic().LoadColorFile(path, _name(path, properties))
    ),
    "ModelFile": lambda path, _: slicer.modules.models.logic().AddModel(path),
    "TransformFile": lambda path, _: slicer.modules.transforms.logic().AddTransform(
        path, slicer.mrmlScene
    ),
}
