"""What the user chose on this machine: kept in Slicer's settings, over restarts and scenes."""

from __future__ import annotations

import json

import qt

GROUP = "CPS4SpineSegment"


class MachineSettings:
    """Device, model folders, study folder and author, read and written at once."""

    def __init__(self) -> None:
        self._settings = qt.QSettings()

    @property
    def device(self) -> str:
        """`auto`, `cpu` or a GPU's name as the worker's `probe` gives it."""
        return self._read("device") or "auto"

    @device.setter
    def device(self, name: str) -> None:
        self._write("device", name)

    @property
    def model_folders(self) -> list[str]:
        """Folders that the user added, in that order."""
        try:
            return [str(folder) for folder in json.loads(self._read("modelFolders") or "[]")]
        except ValueError:
            return []

    @model_folders.setter
    def model_folders(self, folders: list[str]) -> None:
        # As text: QSettings gives a list of one entry back as a string on some platforms.
        self._write("modelFolders", json.dumps(list(dict.fromkeys(folders))))

    @property
    def study_folder(self) -> str:
        """The study that corrections are submitted to; empty until one is chosen."""
        return self._read("studyFolder")

    @study_folder.setter
    def study_folder(self, folder: str) -> None:
        self._write("studyFolder", folder)

    @property
    def author(self) -> str:
        """Who corrects, as it is written beside a submitted correction; empty until given."""
        return self._read("author")

    @author.setter
    def author(self, name: str) -> None:
        self._write("author", name)

    def _read(self, key: str) -> str:
        value = self._settings.value(f"{GROUP}/{key}")
        return "" if value is None else str(value)

    def _write(self, key: str, value: str) -> None:
        self._settings.setValue(f"{GROUP}/{key}", value)
        self._settings.sync()
