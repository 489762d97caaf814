"""Brings the slice views to the prompt map that is chosen, and follows their scrolling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from slicer.util import VTKObservationMixin

from CPS4Core.schema import schema_from_dict
from CPS4SegmentLib import prompt_map_view
from CPS4SegmentLib.sections.threshold_text import slice_nodes
from CPS4SegmentLib.sections.volume_maps import VolumeMaps


class MapViews(VTKObservationMixin):
    """What the views show of the maps; `on_scroll` is called when a shown slice moves."""

    def __init__(self, on_scroll: Callable[[], None]):
        super().__init__()
        self._on_scroll = on_scroll
        self._shown: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether a map or all classes are shown."""
        return bool(self._shown)

    @property
    def one(self) -> bool:
        """Whether a single map is shown."""
        return self._shown[:1] == ("one",)

    def show_one(
        self, volume: Any, maps: VolumeMaps, name: str, opacity: float, outline: bool
    ) -> None:
        """Lay the map of a prompt over the volume; raises CPS4Error where it does not fit."""
        prompt = maps.prompts[name]
        shown = ("one", volume.GetID(), prompt["map"])
        if shown != self._shown:
            self.forget()
            prompt_map_view.show_map(volume, prompt, opacity, outline)
            self._shown = shown
        else:
            prompt_map_view.set_opacity(opacity)
            prompt_map_view.set_outline(outline)
        for node in slice_nodes():  # another layout brings new views
            if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._scrolled):
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._scrolled)

    def show_all(self, volume: Any, maps: VolumeMaps) -> None:
        """Show the integrated map of all classes; raises CPS4Error where it does not fit."""
        shown = ("all", volume.GetID(), str(maps.integrated))
        if shown != self._shown:
            self.forget()
            schema = schema_from_dict(maps.schema or {})
            prompt_map_view.show_integrated(volume, shown[2], schema)
            self._shown = shown

    def hide(self, always: bool = False) -> None:
        """Hide what was shown here; `always` also a map that came with a loaded scene."""
        if self._shown or always:
            self.forget()
            prompt_map_view.hide_map()

    def forget(self) -> None:
        """Watch nothing any more; what the views show stays."""
        self.removeObservers()
        self._shown = ()

    def _scrolled(self, *_: Any) -> None:
        self._on_scroll()
