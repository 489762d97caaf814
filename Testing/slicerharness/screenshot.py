"""Pictures of a panel beside the views, laid out as in Slicer's window.

The panel is the real widget in a scroll area, the views are rendered; the frame around them (tool
bar, coloured bars of the views) is drawn here and only resembles Slicer's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QWidget
from vtk.util.numpy_support import vtk_to_numpy

TOOL_BAR, VIEW_BAR, GAP = 34, 20, 2
COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b", "1": "#b3b3e6"}
# Where each view lies, in fractions of the area: left, top, width, height.
LAYOUTS = {
    "four-up": {
        "Red": (0, 0, 0.5, 0.5),
        "1": (0.5, 0, 0.5, 0.5),
        "Green": (0, 0.5, 0.5, 0.5),
        "Yellow": (0.5, 0.5, 0.5, 0.5),
    },
    "sagittal": {
        "Yellow": (0, 0, 0.66, 1),
        "Red": (0.66, 0, 0.34, 1 / 3),
        "Green": (0.66, 1 / 3, 0.34, 1 / 3),
        "1": (0.66, 2 / 3, 0.34, 1 / 3),
    },
}


def window_picture(
    panel_widget: Any,
    path: str | os.PathLike[str],
    size: tuple[int, int] = (1280, 800),
    layout: str = "four-up",
    panel_width: int = 460,
    scroll_to: Any = None,
    fit: bool = True,
    title: str = "",
) -> None:
    """Write a PNG of `size` pixels: the panel at the left, the four views at the right.

    `layout` is "four-up" or "sagittal" (that view large). The panel is scrolled so far that the
    widget `scroll_to` is seen. With `fit` the slice views show the whole background volume.
    """
    width, height = size
    picture = QImage(width, height, QImage.Format.Format_RGB32)
    picture.fill(QColor("#efefef"))
    painter = QPainter(picture)
    title = title or _title(panel_widget)
    painter.drawText(QRect(12, 0, width, TOOL_BAR), Qt.AlignmentFlag.AlignVCenter, title)
    painter.drawPixmap(0, TOOL_BAR, _panel(panel_widget, panel_width, height - TOOL_BAR, scroll_to))
    area = QRect(panel_width + GAP, TOOL_BAR, width - panel_width - GAP, height - TOOL_BAR)
    for name, place in LAYOUTS[layout].items():
        _draw_view(painter, name, _cell(area, place), fit)
    painter.end()
    if not picture.save(os.fspath(path)):
        raise OSError(f"cannot write {os.fspath(path)}")


def panel_picture(panel_widget: Any, path: str | os.PathLike[str], width: int = 460) -> None:
    """Write a PNG of the panel alone, in its whole height."""
    if not _panel(panel_widget, width, 0, None).save(os.fspath(path)):
        raise OSError(f"cannot write {os.fspath(path)}")


def view_picture(name: str, size: tuple[int, int], fit: bool = True) -> QImage:
    """One view, "Red", "Yellow", "Green" or "1" (3D), rendered in this size."""
    manager = slicer.app.layoutManager()
    view = manager.threeDWidget(0) if name == "1" else manager.sliceWidget(name)
    with _resized(view, size):
        if fit and name == "1":
            _look_at_everything(view)
        elif fit:
            view.fitSliceToBackground()
        image = view._image()
        columns, rows, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
        top_down = np.ascontiguousarray(pixels[::-1, :, :3])
    rgb = QImage.Format.Format_RGB888
    return QImage(top_down.data, columns, rows, 3 * columns, rgb).copy()


@contextmanager
def _resized(view: Any, size: tuple[int, int]) -> Iterator[None]:
    """The view in another size, for the time of a picture."""
    before = view.renderWindow().GetSize()
    view._resize(size)
    try:
        yield
    finally:
        view._resize(tuple(before))


def _look_at_everything(view: Any) -> None:
    """Show all of the scene in 3D, from the patient's left and front."""
    node = view.mrmlViewNode()
    node.SetBoxVisible(False)  # it lies around the origin here, not around the patient
    node.SetAxisLabelsVisible(False)
    view.forceRender()
    camera = view._renderer.GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(-1, 0.6, 0)
    camera.SetViewUp(0, 0, 1)
    view.resetFocalPoint()


def _cell(area: QRect, place: tuple[float, float, float, float]) -> QRect:
    """The rectangle of one view, with the gaps between views taken off."""
    left = area.x() + round(place[0] * area.width())
    top = area.y() + round(place[1] * area.height())
    right = area.x() + round((place[0] + place[2]) * area.width())
    bottom = area.y() + round((place[1] + place[3]) * area.height())
    return QRect(left, top, right - left - GAP, bottom - top - GAP)


def _draw_view(painter: QPainter, name: str, cell: QRect, fit: bool) -> None:
    size = (cell.width(), cell.height() - VIEW_BAR)
    image = view_picture(name, size, fit)
    bar = QRect(cell.x(), cell.y(), cell.width(), VIEW_BAR)
    painter.fillRect(bar, QColor(COLORS[name]))
    painter.drawText(bar.adjusted(8, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, _bar_text(name))
    painter.drawImage(cell.x(), cell.y() + VIEW_BAR, image)


def _bar_text(name: str) -> str:
    if name == "1":
        return "1   3D"
    node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
    return f"{name[0]}   {node.GetOrientation()}   {node.GetSliceOffset():.1f} mm"


def _panel(panel: QWidget, width: int, height: int, scroll_to: Any) -> QPixmap:
    """The panel as it looks in a scroll area; its whole height where `height` is 0."""
    before = panel.parentWidget()
    home = before.parentWidget() if before is not None else None
    frame = QWidget()
    frame.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    layout = QHBoxLayout(frame)
    layout.setContentsMargins(0, 0, 0, 0)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
    layout.addWidget(scroll)
    if isinstance(home, QScrollArea):
        home.takeWidget()
    scroll.setWidget(panel)
    panel.show()
    frame.resize(width, height or 200)
    frame.show()
    for _ in range(3):  # layouts of nested widgets settle one event round after another
        slicer.app.processEvents()
    if not height:
        whole = panel.minimumSizeHint().expandedTo(QSize(width, 0))
        frame.resize(whole + QSize(2, 2) * scroll.frameWidth)
        slicer.app.processEvents()
    if scroll_to is not None:
        _scroll(scroll, panel, scroll_to)
    pixmap = frame.grab()
    scroll.takeWidget()
    if isinstance(home, QScrollArea):
        home.setWidget(panel)
    else:
        panel.setParent(before)
    frame.deleteLater()
    return pixmap


def _scroll(scroll: QScrollArea, panel: QWidget, target: QWidget) -> None:
    """Bring the top of `target` to the top of the scroll area, as far as that goes."""
    scroll.verticalScrollBar().setValue(target.mapTo(panel, target.rect.topLeft()).y())
    slicer.app.processEvents()


def _title(panel: Any) -> str:
    name = getattr(panel, "_module_name", "")
    module = slicer.app.moduleManager().module(name) if name else None
    title = module.title if module is not None else panel.windowTitle
    return f"Modules:   {title}" if title else "3D Slicer"
