"""The canvas of a blind review: two nameless pictures side by side, and all else out of sight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ink._layers import AXES, MICROMETRE, carried, ink_look
from napari_ink.widgets.grid import grid_state, set_grid

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.widgets.side_by_side import SideBySide

#: What the two pictures are called, and what the layers of the predictions are meanwhile.
LEFT, RIGHT, HIDDEN = "left", "right", "hidden"
_SPACING = 0.02
_FILLED = 0.95  # of a cell by a region
_FRAME = "gray"
_CAMERA = ("center", "zoom", "angles")
_LINKED = ("contrast_limits", "gamma", "colormap", "interpolation2d", "opacity")


class ReviewStage:
    """Takes the viewer's canvas over and gives it back as it was.

    Signals
    -------
    disturbed : str
        Somebody changed the layers or the view meanwhile; the canvas has been given back.

    Parameters
    ----------
    viewer : Viewer
    side_by_side : SideBySide
        Which has the grid otherwise.
    """

    disturbed = Signal(str)

    def __init__(self, viewer: Viewer, side_by_side: SideBySide) -> None:
        self._viewer, self._side_by_side = viewer, side_by_side
        self._pictures: list[Image] = []
        self._before: dict | None = None
        self._layers: list[tuple[Layer, bool, str | None]] = []  # what was visible, what renamed
        self._busy = False

    @property
    def active(self) -> bool:
        """Whether the canvas is the review's."""
        return self._before is not None

    def enter(self, stores: Iterable[str], inverted_grey: bool) -> None:
        """Hide everything, and the names of the layers that show one of these predictions."""
        viewer, grid, camera = self._viewer, self._viewer.canvas.grid, self._viewer.scene.camera
        stores, self._look = set(stores), ink_look(inverted_grey)
        self._before = {
            "camera": {name: getattr(camera, name) for name in _CAMERA},
            "side by side": self._side_by_side.active,
            "selection": list(viewer.layers.selection),
            "active": viewer.layers.selection.active,
            "dims": (viewer.dims.ndisplay, tuple(viewer.dims.order), tuple(viewer.dims.point)),
        }
        self._side_by_side.hide()
        self._before["grid"] = grid_state(grid)
        self._layers = []
        for layer in viewer.layers:
            shows = carried(layer).get("store") in stores
            self._layers.append((layer, layer.visible, layer.name if shows else None))
            layer.visible = False
            if shows:
                layer.name = HIDDEN
        viewer.status = ""  # which names the file of the layer last pointed at
        self._listen(True)

    def show(self, left: np.ndarray, right: np.ndarray, pixel: float | None) -> None:
        """Show two pictures of a region, of one size, in place of the last ones."""
        self._busy = True
        try:
            if not self._pictures:
                self._set_up(left, right, pixel)
            else:
                for layer, picture in zip(self._pictures, (left, right), strict=True):
                    layer.data = picture
            self._look_at(np.array(left.shape) * (pixel or 1.0), pixel or 1.0)
        finally:
            self._busy = False

    def leave(self) -> None:
        """Give everything back; a second call does no harm."""
        if not self.active:
            return
        self._listen(False)
        before, self._before = self._before, None
        viewer, grid, camera = self._viewer, self._viewer.canvas.grid, self._viewer.scene.camera
        self._take_pictures_away()
        for layer, visible, name in self._layers:
            if layer in viewer.layers:
                layer.visible = visible
                if name is not None and layer.name.startswith(HIDDEN):
                    layer.name = name
        self._layers = []
        ndisplay, order, point = before["dims"]
        if len(order) == viewer.dims.ndim:
            viewer.dims.order = order
            viewer.dims.set_point(range(len(point)), point)
        viewer.dims.ndisplay = ndisplay
        set_grid(grid, **before["grid"])
        if before["side by side"]:
            self._side_by_side.show()
        viewer.layers.selection = {layer for layer in before["selection"] if layer in viewer.layers}
        if before["active"] in list(viewer.layers):
            viewer.layers.selection.active = before["active"]
        for name in _CAMERA:
            setattr(camera, name, before["camera"][name])

    def _take_pictures_away(self) -> None:
        """Both at one go: napari lays its canvas out, and collects garbage, once a removal."""
        viewer, mine = self._viewer, [one for one in self._pictures if one in self._viewer.layers]
        self._pictures = []
        for layer in mine:
            layer.locked = False
        viewer.layers.selection = set(mine)
        viewer.layers.remove_selected()

    def _set_up(self, left: np.ndarray, right: np.ndarray, pixel: float | None) -> None:
        viewer, grid = self._viewer, self._viewer.canvas.grid
        place = {"axis_labels": AXES[-2:]}
        if pixel is not None:
            place |= {"scale": (pixel, pixel), "units": (MICROMETRE,) * 2}
        self._pictures = [
            viewer.add_image(picture, name=name, **self._look, **place)
            for name, picture in ((LEFT, left), (RIGHT, right))
        ]
        viewer.layers.link_layers(self._pictures, _LINKED)
        for layer in self._pictures:
            layer.name_overlay.visible = True
            layer.bounding_box.points, layer.bounding_box.line_color = False, _FRAME
            layer.bounding_box.visible = True
        viewer.layers.selection = set(self._pictures)
        viewer.dims.ndisplay = 2
        viewer.dims.order = tuple(range(viewer.dims.ndim))
        set_grid(grid, shape=(1, 2), stride=1, spacing=_SPACING, enabled=True)

    def _look_at(self, extent: np.ndarray, pixel: float) -> None:
        viewer, camera = self._viewer, self._viewer.scene.camera
        centre = (extent - pixel) / 2  # pixel 0 reaches from −½ to ½
        camera.center = (0.0, *map(float, centre))
        cell = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
        camera.zoom = float(_FILLED * (cell / extent).min())

    def _listen(self, on: bool) -> None:
        events = self._viewer.layers.events
        for signal in (
            events.inserted,
            events.removed,
            events.reordered,
            self._viewer.canvas.grid.events,
            self._side_by_side.changed,
        ):
            signal.connect(self._on_change) if on else signal.disconnect(self._on_change)

    def _on_change(self, event=None) -> None:
        if self.active and not self._busy:
            self.leave()
            self.disturbed.emit("The layers or the grid were changed")
