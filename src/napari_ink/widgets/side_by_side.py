"""Stack left, ink right, in one canvas with one camera and one slider: napari's grid mode, owned.

Cells of the grid are groups of consecutive layers, so one added mask would push the ink into
another cell. As long as the view is on, the order of the layers is therefore kept: all that is seen
on the stack first, then the visible ink, and over it how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ink._layers import OVER_INK, carried, is_ink, is_stack
from napari_ink.widgets.grid import grid_state, set_grid

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

_SPACING = 0.02
_SMALLEST, _LARGEST = 6.0, 10.0  # points of a name; napari's own
_LETTER = 1.05  # px a point
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
        self._named: list[tuple[Layer, bool, float]] = []  # was it named, and how large
        self._covered: list[Layer] = []  # whose names gave way to that of a layer above
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
        self._before = grid_state(grid)
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.reordered):
            signal.connect(self._arrange)
        with self._same_view():
            self._arrange()
            set_grid(grid, spacing=_SPACING, enabled=True)
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
            set_grid(grid, **before)
        for layer, visible, size in self._named:
            layer.name_overlay.visible, layer.name_overlay.font_size = visible, size
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
            inks = [one for one in predictions(layers) if any(layer.visible for layer in one)]
            right = [layer for one in inks for layer in one]
            left = [layer for layer in layers if layer.visible and layer not in right]
            stacks = [layer for layer in left if is_stack(layer)]
            seen = [layer for layer in stacks if layer == self._stack] or stacks[-1:]
            under = [layer for layer in stacks if layer not in seen]
            left = under + seen + [layer for layer in left if layer not in stacks]
            hidden = [layer for layer in layers if not layer.visible and layer not in right]
            order, stride, columns = with_doubts(left, hidden, inks)
            for position, layer in enumerate(order):
                at = self._viewer.layers.index(layer)
                if at != position:
                    self._viewer.layers.move(at, position)
            set_grid(self._viewer.canvas.grid, stride=stride, shape=(1, columns))
            for layer in layers:
                layer.events.visible.connect(self._arrange)  # once, however often it is called
            if self._naming:
                tops = [[layer for layer in one if layer.visible][-1] for one in inks]
                self._name(seen + tops, right, self._viewer.canvas.size[1] / columns)
            self._named = [named for named in self._named if named[0] in layers]
        finally:
            self._arranging = False

    def _name(self, layers: list[Image], right: list[Image], width: float) -> None:
        """Name what is seen in each cell, and on the right nothing that lies below it."""
        known = [layer for layer, *_ in self._named]
        size = font_size(max((layer.name for layer in layers), key=len, default=""), width)
        for layer in layers:
            overlay = layer.name_overlay
            if layer not in known:
                self._named.append((layer, bool(overlay.visible), overlay.font_size))
            overlay.font_size = size
            if layer not in known or layer in self._covered:
                overlay.visible = True
        self._covered = [layer for layer in right if layer not in layers and layer in known]
        for layer in self._covered:
            layer.name_overlay.visible = False


def font_size(name: str, width: float) -> float:
    """Points at which the longest name fits into a cell of so many pixels, if it can be read."""
    fits = width / (_LETTER * max(1, len(name)))
    return float(min(_LARGEST, max(_SMALLEST, fits)))


def predictions(layers: Sequence[Layer]) -> list[list[Image]]:
    """The layers of each prediction, in the order in which they lie over one another."""
    found: list[list[Image]] = [[layer] for layer in layers if is_ink(layer)]
    by_store = {carried(one[0])["store"]: one for one in found}
    for role in OVER_INK:
        for layer in layers:
            mine = carried(layer)
            if mine.get("role") != role:
                continue
            if mine["store"] not in by_store:  # its ink was removed
                by_store[mine["store"]] = []
                found.append(by_store[mine["store"]])
            by_store[mine["store"]].append(layer)
    return found


def with_doubts(left: list, hidden: list, inks: list[list]) -> tuple[list, int, int]:
    """:func:`in_cells` for predictions of which some layers are hidden.

    These stay with their ink where that can be, so that they are found there in the list and no
    layer moves when one is shown. Otherwise they lie on top while all of them are hidden, and
    below the stack once one is shown.
    """
    shown = [[layer for layer in one if layer.visible] for one in inks]
    waiting = [layer for one in inks for layer in one if not layer.visible]
    found, on_top = in_cells(left, hidden, inks), []
    if found is None and all(len(one) == 1 for one in shown):
        found, on_top = in_cells(left, hidden, shown), waiting
    if found is None:
        found, on_top = in_cells(left, [*waiting, *hidden], shown), []
    if found is not None:
        order, stride, columns = found
        return [*order, *on_top], stride, columns
    return apart(left, [*waiting, *hidden], [layer for one in shown for layer in one])


def in_cells(left: list, hidden: list, inks: list[list]) -> tuple[list, int, int] | None:
    """An order and a stride that put ``left`` into the first cell and each ink into its own.

    Hidden layers draw nothing, so they fill the groups up; groups of them alone take no cell.

    Parameters
    ----------
    left, hidden : list
        Layers to be seen in the first cell, and not to be seen.
    inks : list of list
        Layers of each cell on the right.

    Returns
    -------
    order : list
        All layers.
    stride : int
        Layers a cell.
    columns : int
        Cells in the row.

    ``None`` where there are too few hidden layers.
    """
    least = max(1, len(left), *(len(one) for one in inks)) if inks else 1
    for stride in range(len(left) + len(hidden), least - 1, -1):
        first = stride - len(left)
        spare = len(hidden) - first - sum(stride - len(one) for one in inks[:-1])
        if inks and spare >= 0:
            fill = iter(hidden)
            order = [*islice(fill, first), *left]
            for one in inks:
                order += [*one, *islice(fill, stride - len(one))]
            return [*order, *fill], stride, 1 + len(inks)
    return None


def apart(left: list, hidden: list, inks: list) -> tuple[list, int, int]:
    """Where there are too few hidden layers: inks share cells on the right."""
    stride = max(1, len(left) + len(hidden))
    return [*hidden, *left, *inks], stride, 1 + max(1, -(-len(inks) // stride))
