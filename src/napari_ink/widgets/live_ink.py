"""The layers that fill up while a prediction runs: its ink, and of samples how sure that is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from superqt.utils import qthrottled

from napari_ink._layers import (
    DOUBTS,
    carried,
    doubt_look,
    doubt_name,
    fragment_of,
    ink_arguments,
    ink_look,
    ink_metadata,
    is_doubt,
    is_ink,
)
from napari_ink.errors import InkError
from napari_ink.widgets.growing_ink import GrowingInk

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.inference.settings import TileDone
    from napari_ink.widgets.job import PredictionStarted

_REFRESH_MS = 120


class LiveInk:
    """Growing images, a layer for each, redrawn at most eight times a second.

    The ink is there from the beginning. How sure it is can be told of two samples on; those layers
    come then, hidden, over the ink.

    Parameters
    ----------
    viewer : Viewer
    stack : Image
        The layer predicted on; the ink lies where it lies.
    inverted_grey : bool
        Ink dark on light.

    Attributes
    ----------
    layer : Image or None
        The ink.
    """

    def __init__(self, viewer: Viewer, stack: Image, *, inverted_grey: bool = False) -> None:
        self.stack = stack
        self.layer: Image | None = None
        self._viewer = viewer
        self._look = ink_look(inverted_grey)
        self._ink: GrowingInk | None = None
        self._doubts: dict[str, GrowingInk] = {}
        self._doubt_layers: dict[str, Image] = {}
        self._place: dict[str, Any] = {}
        self._earlier: dict[str, Image] = {}  # of this store, to be filled anew
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
        self._hidden = [
            layer
            for layer in self._viewer.layers
            if (is_ink(layer) or is_doubt(layer)) and layer.visible
        ]
        for layer in self._hidden:
            layer.visible = False
        self._ink = GrowingInk(shape)
        self._place = ink_arguments(self.stack, len(shape), first)
        levels = self._ink.levels
        self.layer = self._viewer.add_image(
            levels,
            multiscale=isinstance(levels, list),
            name=name,
            metadata=ink_metadata(fragment, "", {}),
            **self._look,
            **self._place,
        )
        return self.layer

    def identify(self, started: PredictionStarted) -> None:
        """Write down how the ink comes about; take the place of an earlier view of this store."""
        fragment, store = fragment_of(self.stack), str(started.store)
        for layer in list(self._viewer.layers):
            if layer == self.layer or carried(layer).get("store") != store:
                continue
            if is_ink(layer):
                self._viewer.layers.remove(layer)
            elif is_doubt(layer):
                self._earlier[carried(layer)["role"]] = layer
                layer.visible = layer in self._hidden
        self.layer.name = self._name  # which that view may have had
        self.layer.metadata = ink_metadata(fragment, store, started.plan.provenance)

    def write(self, tile: TileDone) -> None:
        """Put one finished block in place and have it drawn soon; nothing after :meth:`drop`."""
        if self._ink is None:
            return
        store = carried(self.layer)["store"]
        self._ink.write(tile, store)
        if tile.samples > 1:  # one sample has no spread: unknown, not sure
            if not self._doubts:
                self._doubts = {role: GrowingInk(self._ink.shape, role) for role in DOUBTS}
            for doubt in self._doubts.values():
                doubt.write(tile, store)
            self._add_doubts()
        self._refresh_soon()

    def _add_doubts(self) -> None:
        """One layer at a call, so that the window has time in between; once each."""
        role = next((role for role in reversed(DOUBTS) if role not in self._doubt_layers), None)
        if role is None:
            return
        levels, earlier = self._doubts[role].levels, self._earlier.get(role)
        several, layers = isinstance(levels, list), self._viewer.layers
        look, selected, mine = doubt_look(), set(layers.selection), carried(self.layer)
        if earlier is not None and earlier in layers:
            if earlier.multiscale == several:
                earlier.data = levels
                self._doubt_layers[role] = earlier
                return
            look["visible"] = earlier.visible
            layers.remove(earlier)
        self._doubt_layers[role] = self._viewer.add_image(
            levels,
            multiscale=several,
            name=doubt_name(self._name, role),
            metadata=ink_metadata(mine["fragment"], mine["store"], mine["provenance"], role),
            **look,
            **self._place,
        )
        layers.selection = selected & set(layers)

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
            for _ in self._doubts:
                self._add_doubts()
            self._refresh(thumbnail=True)
            self._complete_record()
        self._ink, self._doubts = None, {}

    def _complete_record(self) -> None:
        """What only the run could tell: when, how long, what memory it had to do with."""
        from napari_ink.inference.store import PredictionStore

        with suppress(InkError):  # the plan's own record stays
            mine = carried(self.layer)
            record = PredictionStore.open(mine["store"]).provenance
            for layer in (self.layer, *self._doubt_layers.values()):
                role = carried(layer)["role"]
                layer.metadata = ink_metadata(mine["fragment"], mine["store"], record, role)

    def drop(self) -> None:
        """Forget layers and ink: the user removed one of them."""
        self._refresh_soon.cancel()
        self.layer = self._ink = None
        self._doubts, self._doubt_layers = {}, {}

    def _refresh(self, thumbnail: bool = False) -> None:
        if self.layer is None:
            return
        for layer in (self.layer, *self._doubt_layers.values()):
            if layer.visible or thumbnail:
                layer.refresh(thumbnail=thumbnail, highlight=False, extent=False)
