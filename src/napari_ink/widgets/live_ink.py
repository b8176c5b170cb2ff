"""The ink layer that fills up while a prediction runs."""

from __future__ import annotations

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
from napari_ink.errors import InkError

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_ink.inference.settings import TileDone
    from napari_ink.widgets.job import PredictionStarted

_REFRESH_MS = 120


class LiveInk:
    """One output array, one layer that shows it, redrawn at most eight times a second.

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
        self._array: np.ndarray | None = None
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
        fragment = fragment_of(self.stack)
        for layer in self._viewer.layers:
            if is_ink(layer):
                layer.visible = False  # the newest ink has the cell; the eye brings others back
        self._array = np.full(shape, np.nan, np.float32)
        levels = ink_levels(self._array)
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
        self.layer.metadata = ink_metadata(fragment, store, started.plan.provenance)

    def write(self, tile: TileDone) -> None:
        """Put one finished block in place and have it drawn soon; nothing after :meth:`drop`."""
        if self._array is None:
            return
        self._array[(..., *tile.box.slices)] = tile.probability
        self._refresh_soon()

    def end(self) -> None:
        """Draw what is there and let go of the array; the layer keeps it, if there is anything."""
        layer, array = self.layer, self._array
        self._refresh_soon.cancel()
        if array is not None and not carried(layer)["store"]:
            self.drop()  # it never began
            self._viewer.layers.remove(layer)
        elif array is not None:
            self._refresh(thumbnail=True)
            self._complete_record()
        self._array = None

    def _complete_record(self) -> None:
        """What only the run could tell: when, how long, what memory it had to do with."""
        from napari_ink.inference.store import PredictionStore

        with suppress(InkError):  # the plan's own record stays
            mine = carried(self.layer)
            record = PredictionStore.open(mine["store"]).provenance
            self.layer.metadata = ink_metadata(mine["fragment"], mine["store"], record)

    def drop(self) -> None:
        """Forget layer and array: the user removed one of the layers."""
        self._refresh_soon.cancel()
        self.layer = self._array = None

    def holds(self, layer) -> bool:
        """Whether the layer is this run's stack or ink."""
        return layer == self.stack or (self.layer is not None and layer == self.layer)

    def _refresh(self, thumbnail: bool = False) -> None:
        if self.layer is not None:
            self.layer.refresh(thumbnail=thumbnail, highlight=False, extent=False)
