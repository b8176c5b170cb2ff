"""Counting a prediction for the Thresholds dock: what to count, and the counting, away from Qt."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ink._layers import carried
from napari_ink.analysis.layer_counting import StoredLayers, counting
from napari_ink.analysis.parts import halves, inside
from napari_ink.errors import FragmentError, StoreError
from napari_ink.inference.settings import Box
from napari_ink.volumes.layouts.side_cars import as_side_car
from napari_ink.volumes.planes import ArrayPlane, MaskPlane
from napari_ink.widgets.thresholds.counted import Counted, Scope

if TYPE_CHECKING:
    from napari.layers import Image, Layer


@dataclass(frozen=True, eq=False)
class CountRequest:
    """What to count: everything that is needed of the layers, so that no thread touches them.

    Attributes
    ----------
    stores : tuple of str
        Paths of one labelled volume or of ink maps.
    scope : Scope
    box : Box or None
        The drawn region.
    label : array_like or None
    label_name : str
    is_mask : bool
        Whether everything above zero is ink, as in a Labels layer.
    supervision : Plane or None
        Where the label is to be believed.
    """

    stores: tuple[str, ...]
    scope: Scope = Scope.PAPYRUS
    box: Box | None = None
    label: Any = None
    label_name: str = ""
    is_mask: bool = False
    supervision: Any = None


def ask(
    inks: Sequence[Image], label: Layer | None, scope: Scope, box: Box | None = None
) -> CountRequest:
    """A request from layers.

    Raises
    ------
    StoreError
        When one of the predictions holds nothing yet.
    """
    from napari.layers import Labels

    for ink in inks:
        if not carried(ink)["store"]:
            raise StoreError(f"{ink.name} holds no prediction yet", "wait for the first block")
    stores = tuple(carried(ink)["store"] for ink in inks)
    if label is None:
        return CountRequest(stores, scope, box)
    supervision = None
    if carried(label).get("role") == "ink label":
        supervision = getattr(carried(label)["fragment"], "supervision", None)
    data = label.data[0] if getattr(label, "multiscale", False) else label.data
    return CountRequest(
        stores, scope, box, data, label.name, isinstance(label, Labels), supervision
    )


def open_layers(stores: Sequence[str]) -> StoredLayers:
    """The layers of a request; reads a few small files, and loads what reads them."""
    from napari_ink.inference.store import PredictionStore

    return StoredLayers([PredictionStore.open(path) for path in stores])


def count_steps(request: CountRequest) -> Generator[float, None, Counted]:
    """Count block by block: yields the share that is done. Runs in a worker; touches no layer.

    Raises
    ------
    InkError
        When a store cannot be read, or the label does not fit it.
    """
    layers = open_layers(request.stores)
    finished = min(store.finished for store in layers.stores)
    parts, said = halves(layers.shape[1:]), ("left half", "right half")
    if request.scope is Scope.SHAPE:
        drawn = inside(request.box)
        parts, said = (drawn, drawn.rest), ("drawn region", "rest")
    label = None if request.label is None else _label(request, layers.shape)
    if request.scope is Scope.WHOLE:
        layers = _Unmasked(layers)
    fit, report = yield from counting(layers, label, (), request.supervision, parts)
    return Counted(fit, report, parts, said, request.scope, label is not None, finished)


class _Unmasked:
    """Layers with all that was predicted, papyrus or not."""

    def __init__(self, layers: StoredLayers) -> None:
        self.shape, self.chunks, self.read = layers.shape, layers.chunks, layers.read

    def papyrus(self, box: Box) -> None:
        """Everything counts."""


class _VolumeLabel:
    """A label of every layer, from an array-like ``(z, y, x)``."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = tuple(array.shape)

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window; whole numbers above zero are ink."""
        values = np.asarray(self._array[z, y, x])
        return values if values.dtype.kind == "f" else values != 0


def _label(request: CountRequest, shape: tuple[int, int, int]):
    given = tuple(request.label.shape)
    if given not in (shape, shape[1:]):
        sizes = (" × ".join(map(str, size)) for size in (given, shape[-len(given) :]))
        raise FragmentError(
            "{} has {} pixels, the prediction has {}".format(request.label_name, *sizes),
            "choose the label of the same fragment",
        )
    if len(given) == 3:
        return _VolumeLabel(request.label)
    plane = ArrayPlane(request.label, request.label_name)
    return MaskPlane(plane) if request.is_mask else as_side_car("label", plane)
