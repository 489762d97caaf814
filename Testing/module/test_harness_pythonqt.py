"""Qt behaves as PythonQt shows it in Slicer."""

from __future__ import annotations

import ctk
import pytest
import qt
import slicer
from slicerharness import signals


def test_properties_are_read_and_written_without_brackets() -> None:
    label = qt.QLabel()
    label.text = "twelve structures"
    assert label.text == "twelve structures"
    label.setText("none")  # the methods stay
    assert label.text == "none"
    assert label.enabled and label.isEnabled()


def test_virtual_getters_stay_methods() -> None:
    assert qt.QPushButton("x").sizeHint().width() > 0


def test_the_object_name_is_also_called_name() -> None:
    button = qt.QPushButton()
    button.name = "applyButton"
    assert button.objectName == "applyButton"


def test_unknown_attributes_are_refused() -> None:
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="has no attribute named 'tooltip'"):
        _ = button.tooltip
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects"):
        button.tooltip = "Run"
    with pytest.raises(AttributeError, match="does not exist"):
        slicer.qMRMLNodeComboBox().nodeType = "vtkMRMLNode"


def test_methods_and_read_only_properties_cannot_be_overwritten() -> None:
    with pytest.raises(AttributeError, match="can not be overwritten"):
        qt.QPushButton().click = None
    with pytest.raises(AttributeError, match="is not writable"):
        qt.QComboBox().count = 3


def test_a_property_of_a_wrong_type_is_refused() -> None:
    box = qt.QSpinBox()
    box.value = 3.9
    assert box.value == 3
    with pytest.raises(AttributeError, match="does not accept"):
        box.value = "many"


def test_python_subclasses_may_have_attributes() -> None:
    class Panel(qt.QWidget):
        pass

    panel = Panel()
    panel.rows = [1, 2]
    assert panel.rows == [1, 2]


def test_methods_that_slicer_hides_are_hidden() -> None:
    button = ctk.ctkCollapsibleButton()
    button.collapsed = True
    assert not hasattr(button, "setCollapsed")  # a plain C++ setter, no slot
    assert not hasattr(slicer.qMRMLNodeComboBox(), "setNodeTypes")


def test_children_are_found_by_name_and_lists_read_as_tuples() -> None:
    parent = qt.QWidget()
    child = qt.QLabel(parent)
    child.name = "status"
    assert parent.status is child
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLVolumeNode"]
    assert box.nodeTypes == ("vtkMRMLVolumeNode",)


def test_signals_connect_by_signature() -> None:
    seen: list[object] = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", seen.append)
    button.connect("clicked()", lambda: seen.append("no argument"))
    button.clicked.connect(lambda: seen.append("by attribute"))
    button.click()
    assert seen == [True, "no argument", "by attribute"]


def test_disconnected_slots_are_not_called() -> None:
    seen: list[bool] = []
    button = qt.QPushButton()
    button.connect("clicked(bool)", seen.append)
    assert button.disconnect("clicked(bool)", seen.append)
    assert not button.disconnect("clicked(bool)", seen.append)
    button.clicked.connect(seen.append)
    button.clicked.disconnect(seen.append)
    button.click()
    assert not seen


def test_a_misspelt_signal_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no signal 'click\(\)'; it has: .*clicked\(bool\)"):
        qt.QPushButton().connect("click()", print)


def test_an_exception_in_a_slot_is_kept() -> None:
    def fail() -> None:
        raise RuntimeError("the slot failed")

    button = qt.QPushButton()
    button.connect("clicked()", fail)
    button.clicked.connect(fail)
    qt.QTimer.singleShot(0, fail)
    button.click()
    slicer.app.processEvents()
    assert [error.count("the slot failed") > 0 for error in signals.slot_errors] == [True] * 3
    signals.slot_errors.clear()  # else the fixture fails this test, as it should


def test_shortcuts_are_there() -> None:
    seen: list[str] = []
    window = qt.QWidget()
    shortcut = qt.QShortcut(qt.QKeySequence("Right"), window)
    shortcut.connect("activated()", lambda: seen.append("next"))
    shortcut.activated()
    assert seen == ["next"]


def test_collapsing_keeps_what_was_hidden() -> None:
    section = ctk.ctkCollapsibleButton("Review")
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("a"), qt.QLabel("b")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    seen: list[bool] = []
    section.connect("contentsCollapsed(bool)", seen.append)
    open_height = section.sizeHint().height()
    section.click()
    assert section.collapsed and shown.isHidden()
    assert section.sizeHint().height() < open_height
    section.collapsed = False
    assert not shown.isHidden() and hidden.isHidden()
    assert seen == [True, False]
