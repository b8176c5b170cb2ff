"""The ink layer that fills up while a prediction runs."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from superqt.utils import qthrottled

from napari_ink._layers import (
    carried,
    fragment_of,
    ink_arguments,
    ink_levels,
    ink_look,
    ink_metadata,
    is_ink,
)
from napari_ink._lazy import LazyArray
from napari_ink._prediction_layers import StoredLevel
from napari_ink.errors import InkError

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.inference.settings import TileDone
    from napari_ink.widgets.job import PredictionStarted

_REFRESH_MS = 120
_MOST_BYTES = 256 * 2**20  # of ink in memory: a plane of 8,000 × 8,000 px


class GrowingInk:
    """The ink of a run that goes on: whole in memory, or thinned out where that is too much.

    What memory does not hold is read from the store, block by block, when it is looked at.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)``, or ``(z, y, x)`` for a labelled volume.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(np.float32)
        self.step = 1  # pixels of the plane a pixel in memory, along y and x
        while self.dtype.itemsize * math.prod(self._thin_shape()) > _MOST_BYTES:
            self.step *= 2
        self._array = np.full(self._thin_shape(), np.nan, self.dtype)
        self.begun = False  # whether there is any
        self._stored: StoredLevel | None = None

    def _thin_shape(self) -> tuple[int, ...]:
        return (*self.shape[:-2], *(-(-side // self.step) for side in self.shape[-2:]))

    @property
    def levels(self) -> list | np.ndarray:
        """What the layer shows, full resolution first; views, so they fill up by themselves."""
        held = ink_levels(self._array)
        if self.step == 1:
            return held
        return [LazyArray(self), *(held if isinstance(held, list) else [held])]

    def write(self, tile: TileDone, store: str) -> None:
        """Take in one finished block, which the store at this path holds already."""
        step, self.begun = self.step, True
        y, x = (slice(-(-s.start // step), -(-s.stop // step)) for s in tile.box.slices)
        first = (y.start * step - tile.box.y0, x.start * step - tile.box.x0)
        self._array[..., y, x] = tile.probability[..., first[0] :: step, first[1] :: step]
        if step > 1 and self._stored is None:
            from napari_ink.inference.store import PredictionStore

            self._stored = StoredLevel(PredictionStore.open(store).ink)

    def read(self, *window: slice) -> np.ndarray:
        """A window at full resolution, from the store; unknown before there is one."""
        if self._stored is None:
            return np.full([part.stop - part.start for part in window], np.nan, self.dtype)
        return self._stored.read(*window)


class LiveInk:
    """One growing ink, one layer that shows it, redrawn at most eight times a second.

    Parameters
    ----------
    viewer : Viewer
    stack : Image
        The layer predicted on; the ink lies where it lies.
    inverted_grey : bool
        Ink dark on light.
    """

    def __init__(self, viewer: Viewer, stack: Image, *, inverted_grey: bool = False) -> None:
        self.stack = stack
        self.layer: Image | None = None
        self._viewer = viewer
        self._look = ink_look(inverted_grey)
        self._ink: GrowingInk | None = None
        self._name = ""
        self._hidden: list[Layer] = []
        self._refresh_soon = qthrottled(self._refresh, timeout=_REFRESH_MS)

    def begin(self, name: str, shape: tuple[int, ...], first: int = 0) -> Image:
        """Add the layer, all unknown.

        Parameters
        ----------
        name : str
            Of the layer.
        shape : tuple of int
            ``(y, x)``, or ``(z, y, x)`` for a labelled volume.
        first : int
            Index of the first layer of the window, for a volume.
        """
        fragment, self._name = fragment_of(self.stack), name
        # The newest ink has the cell; the eye brings others back.
        self._hidden = [layer for layer in self._viewer.layers if is_ink(layer) and layer.visible]
        for layer in self._hidden:
            layer.visible = False
        self._ink = GrowingInk(shape)
        levels = self._ink.levels
        self.layer = self._viewer.add_image(
            levels,
            multiscale=isinstance(levels, list),
            name=name,
            metadata=ink_metadata(fragment, "", {}),
            **self._look,
            **ink_arguments(self.stack, len(shape), first),
        )
        return self.layer

    def identify(self, started: PredictionStarted) -> None:
        """Write down how the ink comes about; take the place of an earlier view of this store."""
        fragment, store = fragment_of(self.stack), str(started.store)
        for layer in list(self._viewer.layers):
            if is_ink(layer) and layer != self.layer and carried(layer)["store"] == store:
                self._viewer.layers.remove(layer)
        self.layer.name = self._name  # which that view may have had
        self.layer.metadata = ink_metadata(fragment, store, started.plan.provenance)

    def write(self, tile: TileDone) -> None:
        """Put one finished block in place and have it drawn soon; nothing after :meth:`drop`."""
        if self._ink is None:
            return
        self._ink.write(tile, carried(self.layer)["store"])
        self._refresh_soon()

    def end(self) -> None:
        """Draw what is there and let go of the ink; without any, all is as it was before."""
        layer, ink = self.layer, self._ink
        self._refresh_soon.cancel()
        if ink is not None and not ink.begun:
            self.drop()
            self._viewer.layers.remove(layer)
            for other in self._hidden:
                other.visible = True
        elif ink is not None:
            self._refresh(thumbnail=True)
            self._complete_record()
        self._ink = None

    def _complete_record(self) -> None:
        """What only the run could tell: when, how long, what memory it had to do with."""
        from napari_ink.inference.store import PredictionStore

        with suppress(InkError):  # the plan's own record stays
            mine = carried(self.layer)
            record = PredictionStore.open(mine["store"]).provenance
            self.layer.metadata = ink_metadata(mine["fragment"], mine["store"], record)

    def drop(self) -> None:
        """Forget layer and ink: the user removed one of the layers."""
        self._refresh_soon.cancel()
        self.layer = self._ink = None

    def holds(self, layer) -> bool:
        """Whether the layer is this run's stack or ink."""
        return layer == self.stack or (self.layer is not None and layer == self.layer)

    def _refresh(self, thumbnail: bool = False) -> None:
        if self.layer is not None:
            self.layer.refresh(thumbnail=thumbnail, highlight=False, extent=False)
