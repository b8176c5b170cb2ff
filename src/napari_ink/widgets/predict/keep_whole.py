"""All of the ink stays in sight when the dock that it brought takes its room from the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari.viewer import Viewer

_EVERY_MS, _TIMES = 150, 12  # a window that has just read a fragment takes its time


class KeepWhole(QObject):
    """Fits the view once the canvas has got its new size, unless somebody zoomed before.

    Parameters
    ----------
    viewer : Viewer
        That shows the whole now.
    parent : QObject
        Goes with it.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._size, self._zoom = tuple(viewer.canvas.size), viewer.scene.camera.zoom
        self._left = _TIMES
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_EVERY_MS)

    def _look(self) -> None:
        self._left -= 1
        resized = tuple(self._viewer.canvas.size) != self._size
        zoomed = self._viewer.scene.camera.zoom != self._zoom
        if resized and not zoomed:
            self._viewer.reset_view()
        if resized or zoomed or not self._left:
            self._timer.stop()
