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
from napari_ink.widgets.predict.growing_ink import GrowingInk

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.inference.settings import TileDone
    from napari_ink.volumes.fragment import Fragment
    from napari_ink.widgets.predict.steps import PredictionStarted

_REFRESH_MS = 120


class LiveInk:
    """Growing images, a layer for each, redrawn at most eight times a second.

    How sure ink is can be told of two samples on. Its layers come before the run begins, hidden,
    because napari takes a tenth of a second for each, and one at a time, so that the window
    goes on between them; those of an earlier view are filled anew.

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
        self._to_add: list[str] = []
        self._place: dict[str, Any] = {}
        self._earlier: dict[str, Image] = {}  # of this store, to be filled anew
        self._name = ""
        self._fragment: Fragment | None = None
        self._record: tuple[str, dict] = ("", {})  # store and provenance
        self._hidden: list[Layer] = []
        self._selected: set[Layer] = set()  # before it began
        self._refresh_soon = qthrottled(self._refresh, timeout=_REFRESH_MS)

    def begin(
        self,
        name: str,
        shape: tuple[int, ...],
        first: float = 0,
        step: int = 1,
        *,
        sampled: bool = False,
    ) -> Image:
        """Add the ink, all unknown; :meth:`add_next` adds the others.

        Parameters
        ----------
        name : str
            Of the layer.
        shape : tuple of int
            ``(y, x)``, or ``(z, y, x)`` for a labelled volume or a depth sweep.
        first, step : float and int
            Of those, where the first layer lies and how far on the next: :func:`ink_arguments`.
        sampled : bool
            Whether there will be more samples than one.
        """
        self._name, self._fragment = name, fragment_of(self.stack)
        self._selected = set(self._viewer.layers.selection)
        # The newest ink has the cell; the eye brings others back.
        self._hidden = [
            layer
            for layer in self._viewer.layers
            if (is_ink(layer) or is_doubt(layer)) and layer.visible
        ]
        for layer in self._hidden:
            layer.visible = False
        self._ink = GrowingInk(shape)
        self._place = ink_arguments(self.stack, len(shape), first, step)
        if sampled:
            self._doubts = {role: GrowingInk(shape, role) for role in DOUBTS}
            known = [layer.name for layer in self._viewer.layers if is_doubt(layer)]
            # Others may be of this very store.
            self._to_add = [role for role in DOUBTS if doubt_name(name, role) not in known]
        self.layer = self._add("ink", name, self._look)  # which is then selected
        return self.layer

    def add_next(self) -> bool:
        """Add the next layer of how sure the ink is; whether there was one left to add."""
        if self.layer is None or not self._to_add:
            return False
        role, selected = self._to_add.pop(0), set(self._viewer.layers.selection)
        self._doubt_layers[role] = self._add(role, doubt_name(self._name, role), doubt_look())
        self._viewer.layers.selection = selected
        return True

    def _add(self, role: str, name: str, look: dict[str, Any]) -> Image:
        levels = (self._ink if role == "ink" else self._doubts[role]).levels
        store, provenance = self._record
        return self._viewer.add_image(
            levels,
            multiscale=isinstance(levels, list),
            name=name,
            metadata=ink_metadata(self._fragment, store, provenance, role),
            **look,
            **self._place,
        )

    def identify(self, started: PredictionStarted) -> None:
        """Write down how the ink comes about; take the place of an earlier view of this store."""
        self._record = store, _ = str(started.store), started.plan.provenance
        mine = [self.layer, *self._doubt_layers.values()]
        for layer in list(self._viewer.layers):
            if layer in mine or carried(layer).get("store") != store:
                continue
            role, shown = carried(layer)["role"], layer in self._hidden
            if role in self._doubts and role not in self._doubt_layers:
                self._earlier[role] = layer
                layer.visible = shown
                continue
            if role in self._doubt_layers:
                self._doubt_layers[role].visible = shown
            self._viewer.layers.remove(layer)
        self.layer.name = self._name  # which that view may have had
        self._write_record()

    def write(self, tile: TileDone) -> None:
        """Put one finished block in place and have it drawn soon; nothing after :meth:`drop`."""
        if self._ink is None:
            return
        store, _ = self._record
        self._ink.write(tile, store)
        if tile.samples > 1:  # one sample has no spread: unknown, not sure
            for doubt in self._doubts.values():
                doubt.write(tile, store)
            self._fill_earlier()
        self._refresh_soon()

    def _fill_earlier(self) -> None:
        """Layers of an earlier view show what comes now; or new ones, one at a call."""
        for role in self._doubts:
            if role in self._doubt_layers:
                continue
            levels, earlier = self._doubts[role].levels, self._earlier.get(role)
            look, layers = doubt_look(), self._viewer.layers
            if earlier is not None and earlier in layers:
                if earlier.multiscale == isinstance(levels, list):
                    earlier.data = levels
                    self._doubt_layers[role] = earlier
                    continue
                look["visible"] = earlier.visible
                layers.remove(earlier)
            selected = set(layers.selection)
            self._doubt_layers[role] = self._add(role, doubt_name(self._name, role), look)
            layers.selection = selected & set(layers)
            return

    def end(self) -> None:
        """Draw what is there and let go of the ink; without any, all is as it was before."""
        layer, ink = self.layer, self._ink
        self._refresh_soon.cancel()
        if ink is not None and not ink.begun:
            self.drop()
            for mine in (*self._doubt_layers.values(), layer):
                if mine in self._viewer.layers:
                    self._viewer.layers.remove(mine)
            for other in self._hidden:
                other.visible = True
            layers = self._viewer.layers
            layers.selection = self._selected & set(layers)
        elif ink is not None:
            for doubt in self._doubts.values():
                if doubt.begun:
                    self._fill_earlier()
            self._refresh(thumbnail=True)
            self._complete_record()
        self._ink, self._doubts = None, {}

    def _complete_record(self) -> None:
        """What only the run could tell: when, how long, what memory it had to do with."""
        from napari_ink.inference.store import PredictionStore

        store, _ = self._record
        with suppress(InkError):  # the plan's own record stays
            self._record = store, PredictionStore.open(store).provenance
        self._write_record()

    def _write_record(self) -> None:
        for layer in (self.layer, *self._doubt_layers.values()):
            role = carried(layer)["role"]
            layer.metadata = ink_metadata(self._fragment, *self._record, role)

    def drop(self) -> None:
        """Forget layers and ink: the user removed one of them."""
        self._refresh_soon.cancel()
        self.layer = self._ink = None

    def _refresh(self, thumbnail: bool = False) -> None:
        if self.layer is None:
            return
        for layer in (self.layer, *self._doubt_layers.values()):
            if layer.visible or thumbnail:
                layer.refresh(thumbnail=thumbnail, highlight=False, extent=False)
