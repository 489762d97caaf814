"""Section Setup, clicked through: packages, devices, folders of models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from machine import BROKEN, CPU, GPU, MODEL, MODULE, REPOSITORY, Machine, choose, click, pump
from slicerharness import dialogs, packaging

from CPS4Core import requirements as core_requirements


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    qt.QSettings().remove("CPS4SpineSegment")
    made = Machine(tmp_path)
    monkeypatch.setattr("CPS4SegmentLib.worker_client.worker_command", lambda: made.command)
    return made


@pytest.fixture
def open_panel(machine: Machine, load_module: Any) -> Iterator[Callable[[], Any]]:
    def open_() -> Any:
        widget = load_module(MODULE)[1]
        widget.parent.show()
        return widget

    yield open_
    qt.QSettings().remove("CPS4SpineSegment")


@pytest.fixture
def lack(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Makes packages missing (version "") or old; the returned dict can be changed."""
    real_version = core_requirements.installed_version

    def pretend(**versions: str) -> dict[str, str]:
        def missing(broken: Any = ()) -> list[str]:
            wanted = core_requirements.requirements()
            return [r for r in wanted if r.partition(">=")[0] in {*versions, *broken}]

        def version(name: str) -> str | None:
            return versions[name] if name in versions else real_version(name)

        monkeypatch.setattr("CPS4SegmentLib.requirements.missing_requirements", missing)
        monkeypatch.setattr("CPS4SegmentLib.requirements.installed_version", version)
        return versions

    return pretend


def is_open(widget: Any) -> bool:
    return not widget.panel.ui.setupCollapsibleButton.collapsed


def test_nothing_is_started_or_installed_before_the_panel_is_opened(
    open_panel: Any, machine: Machine, lack: Any
) -> None:
    lack(torch="", monai="")
    open_panel()
    pump(lambda: True)
    assert machine.starts() == 0 and packaging.installed == [] and dialogs.shown == []


def test_complete_machine_is_one_quiet_line(open_panel: Any, machine: Machine) -> None:
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    ui = widget.panel.ui
    assert not is_open(widget)
    assert ui.setupCollapsibleButton.text == "Setup: ready (GPU Eight)"
    assert ui.installButton.isHidden() and ui.setupLabel.text == "All packages are installed."
    ui.setupCollapsibleButton.collapsed = False
    widget.enter()
    pump(lambda: not widget.panel.discovery.looking)
    assert is_open(widget), "a section that the user opened stays open"
    assert machine.starts() == 1


def test_missing_and_old_packages_are_named(open_panel: Any, machine: Machine, lack: Any) -> None:
    lack(torch="", monai="", timm="", transformers="", jinja2="", numpy="1.24.1")
    widget = open_panel()
    widget.enter()
    text = widget.panel.ui.setupLabel.text
    assert text == (
        "Missing: jinja2, monai, timm, torch and 1 more."
        " Too old: numpy 1.24.1 (1.26 or newer is needed)."
    )
    assert "transformers" in widget.panel.ui.setupLabel.toolTip
    assert is_open(widget) and not widget.panel.ui.installButton.isHidden()
    assert "Setup" in widget.panel.ui.applyButton.toolTip
    assert not widget.panel.ui.applyButton.enabled
    assert machine.starts() == 0, "the worker could do nothing yet"


def test_install_asks_then_installs_torch_first(
    open_panel: Any, machine: Machine, lack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = lack(torch="", monai="", numpy="1.24.1")
    packaging.install_pytorch_extension()
    monkeypatch.setattr(packaging, "pip_check", lambda req: False)
    widget = open_panel()
    widget.enter()
    lines = []
    real_install = packaging.PyTorchUtilsLogic.installTorch

    def note(self: Any, *args: Any, **kwargs: Any) -> Any:
        ui = widget.panel.ui
        lines.append(
            (ui.setupLabel.text, ui.installProgressBar.isHidden(), ui.installButton.enabled)
        )
        return real_install(self, *args, **kwargs)

    def all_there(*_: Any, **__: Any) -> None:
        lacking.clear()

    monkeypatch.setattr(packaging.PyTorchUtilsLogic, "installTorch", note)
    real_ensure = slicer.packaging.pip_ensure
    monkeypatch.setattr(
        slicer.packaging, "pip_ensure", lambda *a, **k: (real_ensure(*a, **k), all_there())
    )
    dialogs.answer("Yes")
    click(widget.panel.ui.installButton)
    packaging.remove_pytorch_extension()
    assert "Missing: monai, torch" in dialogs.shown[0].text
    assert packaging.installed == [
        ("torch", ">=2.6"),
        ("pip", "monai>=1.4"),
        ("pip", "numpy>=1.26"),
    ]
    assert lines == [("Step 1 of 2: installing PyTorch. This takes some minutes...", False, False)]
    pump(lambda: widget.panel.discovery.devices)
    assert widget.panel.ui.statusLabel.text == "Everything is installed."
    assert not is_open(widget) and widget.panel.ui.installProgressBar.isHidden()


def test_no_to_the_question_installs_nothing(open_panel: Any, lack: Any) -> None:
    lack(monai="")
    widget = open_panel()
    widget.enter()
    dialogs.answer("No")
    click(widget.panel.ui.installButton)
    assert packaging.installed == [] and "monai" in widget.panel.ui.setupLabel.text


def test_failed_installation_says_why_and_can_be_repeated(
    open_panel: Any, lack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monai="")
    monkeypatch.setattr(packaging, "pip_check", lambda req: False)
    widget = open_panel()
    widget.enter()
    packaging.fail_with("no network")
    dialogs.answer("Yes")
    click(widget.panel.ui.installButton)
    status = widget.panel.ui.statusLabel.text
    assert status.startswith("monai could not be installed (") and "internet connection" in status
    assert widget.panel.ui.installButton.enabled
    assert widget.panel.ui.setupLabel.text == "Missing: monai."


def test_installation_that_changes_nothing_asks_for_a_restart(open_panel: Any, lack: Any) -> None:
    lack(monai="")
    widget = open_panel()
    widget.enter()
    dialogs.answer("Yes")
    click(widget.panel.ui.installButton)
    assert "Restart Slicer" in widget.panel.ui.statusLabel.text


def test_torch_without_its_extension_names_the_extension(open_panel: Any, lack: Any) -> None:
    lack(torch="")
    packaging.remove_pytorch_extension()
    widget = open_panel()
    widget.enter()
    dialogs.answer("Yes")
    click(widget.panel.ui.installButton)
    assert "Install PyTorch in the Extensions Manager" in widget.panel.ui.statusLabel.text


def test_older_slicer_without_packaging_uses_pip_install(
    open_panel: Any, lack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monai="", timm="")
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    widget = open_panel()
    widget.enter()
    dialogs.answer("Yes")
    click(widget.panel.ui.installButton)
    assert packaging.installed == [("pip", "monai>=1.4"), ("pip", "timm>=1.0.15")]


def test_broken_torch_is_missing_too(open_panel: Any, machine: Machine) -> None:
    machine.devices(CPU, missing=("torch>=2.6",))
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    assert widget.panel.ui.setupLabel.text.startswith("Cannot be used: torch 2.")
    assert not widget.panel.ui.installButton.isHidden() and is_open(widget)


def test_devices_are_listed_and_the_choice_survives_a_restart(
    open_panel: Any, machine: Machine
) -> None:
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    box = widget.panel.ui.deviceComboBox
    assert [box.itemText(i) for i in range(box.count)] == [
        "Automatic (GPU Eight)",
        "GPU Eight, 8.0 GB, 6.0 GB free",
        "CPU, 8 cores",
    ]
    assert box.currentIndex == 0
    choose(box, 2)
    assert widget.panel.ui.setupCollapsibleButton.text == "Setup: ready (CPU, 8 cores)"
    slicer.util.reloadScriptedModule("CPS4Segment")
    again = slicer.modules.CPS4SegmentWidget
    assert again is not widget
    again.enter()
    pump(lambda: again.panel.discovery.devices)
    assert again.panel.ui.deviceComboBox.currentIndex == 2
    assert again.panel.discovery.usable_device == "cpu"


def test_chosen_device_that_is_gone_falls_back_with_a_word(
    open_panel: Any, machine: Machine
) -> None:
    widget = open_panel()
    widget.panel.settings.device = "cuda:0"
    machine.devices(CPU)
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    assert "cuda:0 is not there now" in widget.panel.ui.setupLabel.text
    assert widget.panel.ui.deviceComboBox.currentIndex == 0
    assert widget.panel.discovery.usable_device == "auto"
    assert widget.panel.settings.device == "cuda:0", "the choice is kept for when it is back"


def test_worker_that_cannot_start_is_shown_with_the_reason(
    open_panel: Any, machine: Machine
) -> None:
    machine.command[2] = "never starts"
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.problem)
    assert "No module named 'pydantic'" in widget.panel.ui.setupLabel.text and is_open(widget)
    assert "pydantic" in widget.panel.ui.applyButton.toolTip or not slicer.util.getNodesByClass(
        "vtkMRMLScalarVolumeNode"
    )
    pump(lambda: not widget.panel.discovery.looking)
    machine.command[2] = "good"
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    assert not is_open(widget), "opening the module again looks again"


def test_model_folder_is_added_listed_and_removed(open_panel: Any, machine: Machine) -> None:
    widget = open_panel()
    widget.enter()
    ui, folder = widget.panel.ui, str(machine.folder / "mine")
    pump(lambda: widget.panel.discovery.models)
    assert not ui.removeModelFolderButton.enabled
    assert "Choose a folder" in ui.removeModelFolderButton.toolTip
    machine.models(MODEL, {**MODEL, "name": "mine", "folder": folder})
    ui.setupCollapsibleButton.collapsed = False
    dialogs.answer(folder)
    click(ui.addModelFolderButton)
    pump(lambda: len(widget.panel.discovery.models) == 2)
    assert ui.statusLabel.text == "Added the model mine."
    assert ui.modelFolderList.item(0).text() == folder
    assert widget.panel.settings.model_folders == [folder]
    ui.modelFolderList.setCurrentRow(0)
    click(ui.removeModelFolderButton)
    assert widget.panel.settings.model_folders == [] and ui.modelFolderList.count == 0
    pump(lambda: not widget.panel.discovery.looking)


def test_folder_of_a_broken_model_says_what_is_wrong(open_panel: Any, machine: Machine) -> None:
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.models)
    machine.models(MODEL, BROKEN)
    dialogs.answer("/models")
    click(widget.panel.ui.addModelButton)
    pump(lambda: len(widget.panel.discovery.models) == 2)
    assert widget.panel.ui.statusLabel.text == BROKEN["problem"]


def test_cancelled_folder_dialog_changes_nothing(open_panel: Any) -> None:
    widget = open_panel()
    widget.enter()
    dialogs.answer(None)
    click(widget.panel.ui.addModelButton)
    assert widget.panel.settings.model_folders == []


def test_module_loads_in_a_slicer_that_has_none_of_the_packages() -> None:
    """What Slicer does not bring must not be imported by the panel; torch never."""
    script = f"""
import sys
sys.path[:0] = [{str(REPOSITORY / "Testing")!r}, {str(REPOSITORY)!r}]
import slicerharness
slicerharness.start()
not_in_slicer = ("torch", "monai", "pydantic", "yaml", "skimage", "timm", "transformers", "PIL",
    "safetensors", "tensorboard", "jinja2", "matplotlib", "tqdm", "scipy")
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in not_in_slicer:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
widget = slicerharness.load_module({str(MODULE)!r})[1]
widget.panel.changed()
print("loaded", [name for name in not_in_slicer if name in sys.modules])
widget.cleanup()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("loaded []"), done.stdout


def test_gpu_without_known_memory_is_listed_by_name(open_panel: Any, machine: Machine) -> None:
    machine.devices(
        {**GPU, "name": "mps", "title": "Apple GPU", "memory_mib": None, "free_mib": None}
    )
    widget = open_panel()
    widget.enter()
    pump(lambda: widget.panel.discovery.devices)
    assert widget.panel.ui.deviceComboBox.itemText(1) == "Apple GPU"
