"""Words on the canvas where the slider has left the depths that an ink is of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_ink._layers import is_ink
from napari_ink._view import looks_at_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer
    from napari.viewer import Viewer

_PLACE = "bottom_right"  # the cell of the ink


class DepthHint:
    """Tells where the ink is while its cell is empty; the user's own text goes before it.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._before: tuple | None = None  # the user's own, while ours is there
        self._said = ""
        viewer.dims.events.point.connect(self.show)

    def leave(self) -> None:
        """Hear no more of the slider, and take the words away."""
        self._viewer.dims.events.point.disconnect(self.show)
        self._say("")

    def show(self, _event=None) -> None:
        """Whether there is something to say, at this depth and of the layers there are."""
        viewer = self._viewer
        inks = [layer for layer in viewer.layers if is_ink(layer) and layer.visible]
        ends = []
        if looks_at_layers(viewer) and viewer.dims.ndim == 3:
            ends = [depths(ink, viewer.layers) for ink in inks]
        at = viewer.dims.current_step[0]
        if not ends or any(end is None or end[0] <= at <= end[1] for end in ends):
            self._say("")
            return
        first, last = ends[-1]
        self._say(f"no ink at this depth: it is at z {first} to {last}")

    def _say(self, text: str) -> None:
        overlay = self._viewer.canvas.overlays.text
        if self._before is not None and overlay.text != self._said:
            self._before = None  # the user has written over it
        if text and self._before is None:
            if overlay.visible:  # it is the user's
                return
            self._before = overlay.text, overlay.position
            overlay.position = _PLACE
        if self._before is None:
            return
        if text:
            self._said = overlay.text = text
            overlay.visible = True
        else:
            overlay.visible = False
            overlay.text, overlay.position = self._before
            self._before = None


def depths(ink: Image, layers: Sequence[Layer]) -> tuple[int, int] | None:
    """First and last step of the slider at which an ink is seen; ``None``: at any.

    Parameters
    ----------
    ink : Image
    layers : sequence of Layer
        All of the viewer, which the slider goes through in the smallest of their steps.
    """
    if ink.ndim < 3:
        return None
    volumes = [layer for layer in layers if layer.ndim >= 3]
    step = min(abs(float(layer.scale[-3])) for layer in volumes)
    start = min(float(layer.extent.world[0][-3]) for layer in volumes)
    low, high = np.asarray(ink.extent.world)[:, -3]
    half = abs(float(ink.scale[-3])) / 2
    return math.ceil((low - half - start) / step), math.floor((high + half - start) / step)
