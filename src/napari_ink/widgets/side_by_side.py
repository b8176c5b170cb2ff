"""Stack left, ink right, in one canvas with one camera and one slider: napari's grid mode, owned.

Cells of the grid are groups of consecutive layers, so one added mask would push the ink into
another cell. As long as the view is on, the order of the layers is therefore kept: all that lies
on the stack first, then the visible ink; the stride is the length of the first part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ink._layers import is_ink

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

_SPACING = 0.02


class SideBySide:
    """Owns the grid of one viewer while it is on, and gives it back as it was.

    Signals
    -------
    changed : bool
        Whether the view is on.
    """

    changed = Signal(bool)

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._before: dict | None = None
        self._named: list[tuple[Layer, bool]] = []
        self._arranging = False

    @property
    def active(self) -> bool:
        """Whether stack and ink are side by side now."""
        return self._before is not None

    def show(self) -> None:
        """Lay out the viewer's stack and ink; a second call only tidies the order."""
        if self.active:
            self._arrange()
            return
        grid = self._viewer.canvas.grid
        self._before = {
            name: getattr(grid, name) for name in ("enabled", "shape", "stride", "spacing")
        }
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.reordered):
            signal.connect(self._arrange)
        with self._same_view():
            self._arrange()
            grid.spacing = _SPACING
            grid.enabled = True
        self.changed.emit(True)

    def hide(self) -> None:
        """Give the user's own grid and name overlays back."""
        if not self.active:
            return
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.reordered):
            signal.disconnect(self._arrange)
        for layer in self._viewer.layers:
            if is_ink(layer):
                layer.events.visible.disconnect(self._arrange)
        before, self._before = self._before, None
        grid = self._viewer.canvas.grid
        with self._same_view():
            for name in ("shape", "stride", "spacing", "enabled"):
                setattr(grid, name, before[name])
        for layer, visible in self._named:
            layer.name_overlay.visible = visible
        self._named.clear()
        self.changed.emit(False)

    @contextmanager
    def _same_view(self) -> Iterator[None]:
        """Keep in sight what was in sight while cells change their size; the whole stays whole."""
        viewer, camera = self._viewer, self._viewer.scene.camera
        before = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
        half = before / camera.zoom / 2
        centre = np.array(camera.center[-2:])
        low, high = viewer.layers.extent.world[:, -2:]
        whole = ((centre - half <= low) & (high <= centre + half)).all()
        yield
        if whole:
            viewer.reset_view()
        else:
            after = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
            ratio = after / before
            camera.zoom *= float(ratio.min() if ratio.min() < 1 else ratio.max())

    def _arrange(self, event=None) -> None:
        """Order and stride for the layers there are; runs again whenever they change."""
        if self._arranging:
            return
        self._arranging = True
        try:
            layers = list(self._viewer.layers)
            right = [layer for layer in layers if is_ink(layer) and layer.visible]
            left = [layer for layer in layers if layer not in right]
            if left + right != layers:
                for position, layer in enumerate(left + right):
                    at = self._viewer.layers.index(layer)
                    if at != position:
                        self._viewer.layers.move(at, position)
            stride = max(1, len(left))
            grid = self._viewer.canvas.grid
            grid.stride = stride
            # More ink than lies on the left: one more cell each, and nothing is covered.
            grid.shape = (1, 1 + max(1, -(-len(right) // stride)))
            for layer in layers:
                if is_ink(layer):
                    layer.events.visible.connect(self._arrange)
            self._name(left, right)
        finally:
            self._arranging = False

    def _name(self, left: list[Image], right: list[Image]) -> None:
        known = [layer for layer, _ in self._named]
        shown = [layer for layer in left if layer.visible][-1:] + right
        for layer in shown:
            if layer not in known:
                self._named.append((layer, bool(layer.name_overlay.visible)))
                layer.name_overlay.visible = True
        self._named = [(layer, was) for layer, was in self._named if layer in left + right]
