"""Questions are answered by the test; packages are noted and never installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import qt
import slicer
from slicerharness import dialogs, packaging


def test_a_question_gets_the_prepared_answer() -> None:
    dialogs.answer("Yes", "No", None)
    assert slicer.util.confirmYesNoDisplay("Overwrite?")
    assert not slicer.util.confirmYesNoDisplay("Overwrite?")
    assert not slicer.util.confirmOkCancelDisplay("Go on?", windowTitle="CPS4")
    assert dialogs.shown[-1].title == "CPS4" and dialogs.shown[-1].buttons == ["Ok", "Cancel"]


def test_a_question_without_an_answer_fails() -> None:
    with pytest.raises(AssertionError, match="no answer was prepared for the question 'Sure"):
        slicer.util.confirmYesNoDisplay("Sure?")


def test_an_answer_that_no_button_has_fails() -> None:
    dialogs.answer("Maybe")
    with pytest.raises(AssertionError, match="not 'Maybe'"):
        slicer.util.confirmYesNoDisplay("Sure?")


def test_messages_need_no_answer() -> None:
    slicer.util.errorDisplay("The disk is full.", detailedText="trace")
    slicer.util.infoDisplay("Done.")
    assert [one.text for one in dialogs.shown] == ["The disk is full.", "Done."]


def test_static_message_boxes_are_answered_too() -> None:
    dialogs.answer("No")
    reply = qt.QMessageBox.question(None, "CPS4", "Replace the label?")
    assert reply == qt.QMessageBox.No


def test_file_and_input_dialogs() -> None:
    dialogs.answer("/a/scan.nii.gz", None, ["/a", "/b"], "L5")
    assert qt.QFileDialog.getOpenFileName(None, "Scan") == "/a/scan.nii.gz"
    assert qt.QFileDialog.getExistingDirectory(None, "Study") == ""
    assert qt.QFileDialog.getOpenFileNames(None, "Scans") == ("/a", "/b")
    assert qt.QInputDialog.getText(None, "Name", "New name:") == "L5"


def test_requirements_are_checked_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("# ours\nnumpy>=1\nnot-there-at-all>=2\n")
    requirements = slicer.packaging.load_requirements(path)
    assert [slicer.packaging.pip_check(one) for one in requirements] == [True, False]
    dialogs.answer("Ok")
    slicer.packaging.pip_ensure(requirements, requester="CPS4")
    assert packaging.installed == [("pip", "not-there-at-all>=2")]
    assert "CPS4" in dialogs.shown[-1].title


def test_a_declined_installation_is_an_error() -> None:
    dialogs.answer("Cancel")
    requirements = [packaging.Requirement("not-there-at-all")]
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(requirements)
    assert not packaging.installed


def test_a_failing_installation() -> None:
    packaging.fail_with("no network")
    with pytest.raises(subprocess.CalledProcessError):
        slicer.util.pip_install("scipy")
    slicer.util.pip_install("scipy>=1.12 pandas")
    assert packaging.installed == [("pip", "scipy>=1.12"), ("pip", "pandas")]


def test_the_pytorch_extension_is_there_when_asked_for() -> None:
    with pytest.raises(ImportError):
        import PyTorchUtils
    packaging.install_pytorch_extension()
    try:
        import PyTorchUtils

        dialogs.answer("Ok", "Cancel")
        logic = PyTorchUtils.PyTorchUtilsLogic()
        assert logic.installTorch(askConfirmation=True, torchVersionRequirement=">=2.6")
        assert logic.installTorch(askConfirmation=True) is None
    finally:
        packaging.remove_pytorch_extension()
    assert packaging.installed == [("torch", ">=2.6")]
