"""slicer.parameterNodeWrapper: typed parameters in the scene, bound to widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import ctk
import pytest
import qt
import slicer
from slicer import vtkMRMLModelNode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, Default, Minimum, WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    volume: vtkMRMLScalarVolumeNode
    surface: vtkMRMLModelNode | vtkMRMLScalarVolumeNode
    model: str
    show: bool = True
    opacity: Annotated[float, WithinRange(0, 1), Default(0.5)]
    count: Annotated[int, Minimum(1)] = 3
    view: Annotated[str, Choice(["axial", "sagittal"])] = "axial"
    limit: float | None
    folder: Path


@pytest.fixture
def node() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


def add_volume(name: str = "T2") -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_defaults(node: Any) -> None:
    parameters = Parameters(node)
    assert (parameters.model, parameters.show, parameters.opacity) == ("", True, 0.5)
    assert parameters.volume is None and parameters.limit is None
    assert node.GetParameter("count") == "3"


def test_values_survive_saving_and_loading_the_scene(node: Any, tmp_path: Path) -> None:
    node.SetName("saved")
    parameters = Parameters(node)
    parameters.volume = add_volume()
    parameters.opacity, parameters.show, parameters.limit = 0.25, False, 2.0
    parameters.folder = Path("/study")
    path = str(tmp_path / "scene.mrml")
    slicer.app.coreIOManager().saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    loaded = Parameters(slicer.util.getNode("saved"))
    assert (loaded.opacity, loaded.show, loaded.limit) == (0.25, False, 2.0)
    assert loaded.folder == Path("/study")
    assert loaded.volume.GetName() == "T2"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("opacity", 1.5, ValueError),
        ("opacity", "half", TypeError),
        ("opacity", None, ValueError),
        ("count", 0, ValueError),
        ("count", 1.5, TypeError),
        ("view", "coronal", ValueError),
        ("show", 1, TypeError),
    ],
)
def test_wrong_values_are_refused(node: Any, name: str, value: Any, error: type) -> None:
    parameters = Parameters(node)
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_removed_node_is_none(node: Any) -> None:
    parameters = Parameters(node)
    parameters.volume = add_volume()
    slicer.mrmlScene.RemoveNode(parameters.volume)
    assert parameters.volume is None


def test_one_write_is_one_modification(node: Any) -> None:
    parameters = Parameters(node)
    seen: list[Any] = []
    parameters.AddObserver("ModifiedEvent", lambda *_: seen.append(parameters.limit))
    parameters.limit = 4.0  # two strings in the node
    assert seen == [4.0]


def make_gui(**widgets: Any) -> Any:
    gui = qt.QWidget()
    layout = qt.QVBoxLayout(gui)
    for name, widget in widgets.items():
        widget.setProperty("SlicerParameterName", name)
        layout.addWidget(widget)
    return gui


def test_widgets_and_parameters_follow_each_other(node: Any) -> None:
    box = slicer.qMRMLNodeComboBox()
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    slider, check, edit, view = (
        ctk.ctkSliderWidget(),
        qt.QCheckBox(),
        qt.QLineEdit(),
        qt.QComboBox(),
    )
    parameters = Parameters(node)
    parameters.model = "spider"
    gui = make_gui(volume=box, opacity=slider, show=check, model=edit, view=view)
    parameters.connectGui(gui)
    assert (edit.text, slider.value, check.checked, view.currentText) == (
        "spider",
        0.5,
        True,
        "axial",
    )

    volume = add_volume()
    box.setCurrentNode(volume)
    slider.value = 0.75
    check.click()
    view.setCurrentIndex(1)
    edit.text = "own"
    assert parameters.volume is volume
    assert (parameters.opacity, parameters.show) == (0.75, False)
    assert (parameters.view, parameters.model) == ("sagittal", "own")

    parameters.opacity, parameters.volume = 0.25, None
    assert slider.value == 0.25 and box.currentNode() is None


def test_disconnected_widgets_do_not_write(node: Any) -> None:
    slider = ctk.ctkSliderWidget()
    parameters = Parameters(node)
    tag = parameters.connectParametersToGui({"opacity": slider})
    parameters.disconnectGui(tag)
    slider.value = 0.9
    assert parameters.opacity == 0.5


def test_connecting_by_property_gives_no_tag_as_in_slicer(node: Any) -> None:
    assert Parameters(node).connectGui(make_gui(show=qt.QCheckBox())) is None


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("model", qt.QComboBox, "Choice"),  # free text has no list to choose from
        ("view", lambda: ctk.ctkComboBox(), "Unable to create GUI connector"),
        ("count", lambda: qt.QSlider(), "unbounded"),
    ],
)
def test_pairs_that_slicer_cannot_connect_are_refused(
    node: Any, name: str, make: Any, reason: str
) -> None:
    with pytest.raises(RuntimeError, match=reason):
        Parameters(node).connectGui(make_gui(**{name: make()}))


def test_an_unknown_parameter_name_is_refused(node: Any) -> None:
    with pytest.raises(ValueError, match="opacty"):
        Parameters(node).connectGui(make_gui(opacty=qt.QCheckBox()))


def test_names_of_the_wrapper_are_reserved() -> None:
    with pytest.raises(ValueError, match="reserved name 'default'"):

        @parameterNodeWrapper
        class _Wrong:
            default: str
