"""The list of models to choose from, with what each was trained on and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


class ModelList:
    """Fills a combo box and a line below it from what the worker found."""

    def __init__(self, box: Any, detail: Any, panel: Panel):
        self._box, self._detail, self._panel = box, detail, panel
        self._shown: Any = None
        box.connect("activated(int)", self._choose)

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The model that the parameter node names (by default the first that works), if known."""
        return self._panel.discovery.find_model(self._panel.parameters.model)

    def show(self) -> None:
        """Bring the widgets up to date."""
        discovery = self._panel.discovery
        models = discovery.models or []
        if models != self._shown:
            self._shown = models
            self._box.clear()
            for row, model in enumerate(models):
                broken = " (cannot be used)" if model.get("problem") else ""
                self._box.addItem(f"{model['name']}{broken}", str(model["folder"]))
                self._box.setItemData(row, describe_model(model), qt.Qt.ToolTipRole)
        chosen = self.chosen
        index = self._box.findData(str(chosen["folder"])) if chosen else -1
        self._box.setCurrentIndex(index)
        self._box.enabled = bool(models)
        text = describe_model(chosen) if chosen else ""
        self._box.toolTip = text or "The models that this machine has"
        self._detail.setText(text)
        self._detail.setVisible(bool(text))

    def _choose(self, index: int) -> None:
        models = self._panel.discovery.models or []
        if self._panel.parameters is None or not 0 <= index < len(models):
            return
        name, folder = str(models[index]["name"]), str(models[index]["folder"])
        same = [model for model in models if str(model["name"]) == name]
        # The name, so that the scene says the same on another machine.
        self._panel.parameters.model = name if len(same) == 1 else folder


def describe_model(model: dict[str, Any]) -> str:
    """What a user should know before using a model; for a broken one, what is wrong with it."""
    if model.get("problem"):
        return str(model["problem"])
    text = f"Trained on {model.get('data') or 'unknown data'}"
    if model.get("trained_on"):
        text += f" ({model['trained_on']})"
    text += f"; licence {model.get('licence') or 'not stated'}."
    if model.get("quality"):
        text += f" Quality: {model['quality']}."
    return text
