"""Stack left, ink right, in one canvas with one camera and one slider: napari's grid mode, owned.

Cells of the grid are groups of consecutive layers, so one added mask would push the ink into
another cell. As long as the view is on, the order of the layers is therefore kept: all that is seen
on the stack first, then the visible ink.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ink._layers import is_ink, is_stack

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

_SPACING = 0.02
_EDGE = 0.1  # of the whole that may lie out of sight without one having zoomed in


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
        self._naming = True
        self._stack: Image | None = None
        self._arranging = False

    @property
    def active(self) -> bool:
        """Whether stack and ink are side by side now."""
        return self._before is not None

    @property
    def naming(self) -> bool:
        """Whether names stand in the cells; set to ``False`` while nothing may be late.

        Without a graphics card the first drawing of a text takes up to a second.
        """
        return self._naming

    @naming.setter
    def naming(self, on: bool) -> None:
        self._naming = on
        if self.active:
            self._arrange()

    @property
    def stack(self) -> Image | None:
        """The stack to see on the left, above all others; ``None``: the topmost."""
        return self._stack

    @stack.setter
    def stack(self, stack: Image | None) -> None:
        self._stack = stack
        if self.active:
            self._arrange()

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

    def shows_whole(self) -> bool:
        """Whether nobody has zoomed in: nearly all there is lies in sight."""
        viewer, camera = self._viewer, self._viewer.scene.camera
        half = np.array(viewer.canvas.viewbox_size(viewer.layers), float) / camera.zoom / 2
        centre = np.array(camera.center[-2:])
        low, high = viewer.layers.extent.world[:, -2:]
        low, high = low + _EDGE * (high - low), high - _EDGE * (high - low)
        return bool(((centre - half <= low) & (high <= centre + half)).all())

    @contextmanager
    def _same_view(self) -> Iterator[None]:
        """Keep in sight what was in sight while cells change their size; the whole stays whole."""
        viewer, camera = self._viewer, self._viewer.scene.camera
        before = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
        whole = self.shows_whole()
        yield
        if whole:
            viewer.reset_view()
        else:
            after = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
            ratio = after / before
            camera.zoom *= float(ratio.min() if ratio.min() < 1 else ratio.max())

    def _arrange(self, event=None) -> None:
        """Order and stride for the layers there are; runs again whenever they change."""
        if self._arranging or not self.active:  # an event already under way when it was hidden
            return
        self._arranging = True
        try:
            layers = list(self._viewer.layers)
            ink = [layer for layer in layers if is_ink(layer) and layer.visible]
            left = [layer for layer in layers if layer.visible and layer not in ink]
            stacks = [layer for layer in left if is_stack(layer)]
            seen = [layer for layer in stacks if layer == self._stack] or stacks[-1:]
            under = [layer for layer in stacks if layer not in seen]
            left = under + seen + [layer for layer in left if layer not in stacks]
            hidden = [layer for layer in layers if not layer.visible]
            order, stride, columns = in_cells(left, hidden, ink)
            for position, layer in enumerate(order):
                at = self._viewer.layers.index(layer)
                if at != position:
                    self._viewer.layers.move(at, position)
            grid = self._viewer.canvas.grid
            grid.stride, grid.shape = stride, (1, columns)
            for layer in layers:
                layer.events.visible.connect(self._arrange)  # once, however often it is called
            if self._naming:
                self._name(seen + ink)
            self._named = [(layer, was) for layer, was in self._named if layer in layers]
        finally:
            self._arranging = False

    def _name(self, layers: list[Image]) -> None:
        known = [layer for layer, _ in self._named]
        for layer in layers:
            if layer not in known:
                self._named.append((layer, bool(layer.name_overlay.visible)))
                layer.name_overlay.visible = True


def in_cells(left: list, hidden: list, ink: list) -> tuple[list, int, int]:
    """An order and a stride that put ``left`` into the first cell and each ink into its own.

    Hidden layers draw nothing, so they fill the groups up; groups of them alone take no cell.
    Where there are too few of them to give each ink its own group, inks share cells on the right.

    Parameters
    ----------
    left, hidden, ink : list
        Layers to be seen in the first cell, not to be seen, and to be seen on the right.

    Returns
    -------
    order : list
        All layers.
    stride : int
        Layers a cell.
    columns : int
        Cells in the row.
    """
    for stride in range(len(left) + len(hidden), max(1, len(left)) - 1, -1):
        first = stride - len(left)
        spare = len(hidden) - first - (stride - 1) * (len(ink) - 1)
        if ink and spare >= 0:
            fill = iter(hidden)
            order = [*islice(fill, first), *left]
            for layer in ink:
                order += [layer, *islice(fill, stride - 1)]
            return [*order, *fill], stride, 1 + len(ink)
    stride = max(1, len(left) + len(hidden))
    return [*hidden, *left, *ink], stride, 1 + max(1, -(-len(ink) // stride))
