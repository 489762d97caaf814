"""Section Setup: what is missing and how it gets here, the device, the folders of models."""

from __future__ import annotations

from typing import Any

import slicer

from CPS4Core.errors import CPS4Error
from CPS4SegmentLib.requirements import describe
from CPS4SegmentLib.sections.section import Section

QUESTION = (
    "{what}\n\nInstall into Slicer's Python now? The packages come from the internet (python.org's"
    " package index and pytorch.org), take up to several GB of disk space and some minutes."
    " Slicer cannot be used meanwhile."
)


class SetupSection(Section):
    """One quiet line, collapsed, once everything is there."""

    FILE, BUTTON = "SetupSection", "setupCollapsibleButton"

    def __init__(self, panel: Any):
        super().__init__(panel)
        self._installing = False
        self._was_ready: bool | None = None
        self._shown: Any = None
        self.ui.installProgressBar.hide()
        self.ui.installButton.hide()
        self.ui.installButton.connect("clicked(bool)", self._install)
        self.ui.deviceComboBox.connect("activated(int)", self._choose_device)
        self.ui.addModelFolderButton.connect("clicked(bool)", panel.add_model_folder)
        self.ui.removeModelFolderButton.connect("clicked(bool)", self._remove_folder)
        self.ui.modelFolderList.connect("itemSelectionChanged()", self._show_remove)

    def enter(self) -> None:
        """Look what is there; nothing is installed and no process started before."""
        self._look()

    def refresh(self) -> None:
        requirements, discovery = self.panel.requirements, self.panel.discovery
        if requirements.lacking is None or self._installing:
            return
        if discovery.broken and not requirements.lacking:
            requirements.check(discovery.broken)
        lacking = requirements.lacking
        self.ui.installButton.setVisible(bool(lacking))
        self.ui.setupLabel.setText(self._line())
        ready = not lacking and not discovery.problem
        device = self._device_title(discovery.usable_device) if discovery.devices else ""
        self.button.text = "Setup" + (f": ready, {device}" if ready and device else "")
        if ready != self._was_ready:
            self.button.collapsed = ready
            self._was_ready = ready
        self._show_devices()
        self._show_folders()

    def _line(self) -> str:
        lacking, discovery = self.panel.requirements.lacking, self.panel.discovery
        if lacking:
            return describe(lacking)
        if discovery.problem:
            return discovery.problem
        chosen = self.panel.settings.device
        if discovery.devices is None:
            return "All packages are installed. Looking for the graphics card..."
        if discovery.usable_device != chosen:
            return f"The chosen device {chosen} is not there now; Automatic is used."
        return "All packages are installed."

    def _look(self) -> None:
        lacking = self.panel.requirements.check()
        discovery = self.panel.discovery
        if not lacking and not discovery.looking:
            if discovery.devices is None or discovery.problem:
                discovery.look()
            else:
                discovery.look_for_models()  # one may have been trained meanwhile

    def _install(self) -> None:
        lacking = self.panel.requirements.check(self.panel.discovery.broken)
        if self._installing:
            return
        if lacking and not self.panel.ask(QUESTION.format(what=describe(lacking))):
            return
        self._installing = True
        self.ui.installButton.enabled = False
        self.ui.installProgressBar.show()
        try:
            self.panel.requirements.install(self._tell)
        except CPS4Error as error:
            self.panel.say(str(error), "error")
        else:
            self.panel.say("Everything is installed.")
        finally:
            self._installing = False
            self.ui.installButton.enabled = True
            self.ui.installProgressBar.hide()
        self.panel.worker.stop()  # what it has imported is of before
        self._look()
        self.panel.changed()

    def _tell(self, text: str) -> None:
        self.ui.setupLabel.setText(text)
        slicer.app.processEvents()

    def _show_devices(self) -> None:
        discovery = self.panel.discovery
        if discovery.devices is None:
            items = [("Automatic", "auto")]
        else:
            auto = self._device_title(discovery.default_device)
            items = [(f"Automatic ({auto})", "auto")]
            items += [(_with_memory(d), str(d["name"])) for d in discovery.devices]
        box = self.ui.deviceComboBox
        if items != self._shown:
            self._shown = items
            box.clear()
            for text, name in items:
                box.addItem(text, name)
        box.setCurrentIndex(max(0, box.findData(discovery.usable_device)))
        box.toolTip = str(box.currentText)

    def _device_title(self, name: str) -> str:
        discovery = self.panel.discovery
        name = discovery.default_device if name == "auto" else name
        titles = {str(d["name"]): str(d.get("title") or d["name"]) for d in discovery.devices or []}
        return titles.get(name, name)

    def _choose_device(self, index: int) -> None:
        self.panel.settings.device = str(self.ui.deviceComboBox.itemData(index))
        self.panel.changed()

    def _show_folders(self) -> None:
        folders = self.panel.settings.model_folders
        box = self.ui.modelFolderList
        if [str(box.item(row).text()) for row in range(box.count)] != folders:
            box.clear()
            for folder in folders:
                box.addItem(folder)
                box.item(box.count - 1).setToolTip(folder)
        self._show_remove()

    def _show_remove(self) -> None:
        chosen = bool(self.ui.modelFolderList.selectedItems())
        self.ui.removeModelFolderButton.enabled = chosen
        self.ui.removeModelFolderButton.toolTip = (
            "Take the chosen folder from the list; its files stay"
            if chosen
            else "Choose a folder in the list first"
        )

    def _remove_folder(self) -> None:
        gone = {str(item.text()) for item in self.ui.modelFolderList.selectedItems()}
        folders = self.panel.settings.model_folders
        self.panel.settings.model_folders = [f for f in folders if f not in gone]
        self.panel.discovery.look_for_models()
        self.panel.changed()


def _with_memory(device: dict[str, Any]) -> str:
    """A device as it is listed: `NVIDIA H200, 139.8 GB, 120.1 GB free`."""
    parts = [str(device.get("title") or device["name"])]
    for key, form in (("memory_mib", "{:.1f} GB"), ("free_mib", "{:.1f} GB free")):
        if device.get(key):
            parts.append(form.format(device[key] / 1024))
    return ", ".join(parts)
