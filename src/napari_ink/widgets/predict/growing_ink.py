"""An image of a prediction that grows while it runs: whole in memory, or thinned out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_ink._layers import ink_levels
from napari_ink._lazy import LazyArray
from napari_ink._prediction_layers import StoredLevel

if TYPE_CHECKING:
    from napari_ink.inference.settings import TileDone

_MOST_BYTES = 256 * 2**20  # of one image in memory: a plane of 8,000 × 8,000 px
_FIELDS = {"ink": "probability", "spread": "spread", "information": "information"}


class GrowingInk:
    """An image of a run that goes on: whole in memory, or thinned out where that is too much.

    What memory does not hold is read from the store, block by block, when it is looked at.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)``, or ``(z, y, x)`` for a labelled volume.
    role : str
        Which image of the prediction.
    """

    def __init__(self, shape: tuple[int, ...], role: str = "ink") -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(np.float32)
        self.step = 1  # pixels of the plane a pixel in memory, along y and x
        while self.dtype.itemsize * math.prod(self._thin_shape()) > _MOST_BYTES:
            self.step *= 2
        self._array = np.full(self._thin_shape(), np.nan, self.dtype)
        self._role = role
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
        values = getattr(tile, _FIELDS[self._role])
        self._array[..., y, x] = values[..., first[0] :: step, first[1] :: step]
        if step > 1 and self._stored is None:
            from napari_ink.inference.store import PredictionStore

            self._stored = StoredLevel(PredictionStore.open(store).images[self._role][0])

    def read(self, *window: slice) -> np.ndarray:
        """A window at full resolution, from the store; unknown before there is one."""
        if self._stored is None:
            return np.full([part.stop - part.start for part in window], np.nan, self.dtype)
        return self._stored.read(*window)
