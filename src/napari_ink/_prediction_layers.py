"""A prediction store as layers: its ink, how sure that is, and the fragment it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ink._layers import (
    AXES,
    DOUBTS,
    KEY,
    MICROMETRE,
    carried,
    doubt_look,
    doubt_name,
    fragment_layer_data,
    ink_arguments,
    ink_look,
    ink_metadata,
    ink_name,
)
from napari_ink._lazy import LazyArray
from napari_ink.errors import FragmentError, InkError
from napari_ink.inference.layer_places import layer_places

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.types import LayerData

    from napari_ink.inference.store import PredictionStore


def prediction_layer_data(path: str, stacks: Iterable[Image] = ()) -> list[LayerData]:
    """A prediction store as layers: the fragment that it was made of, and its ink, which is last.

    Of Monte Carlo samples, hidden layers before the ink show how sure it is, once there are two.

    Parameters
    ----------
    path : str
        ``NAME.ink.zarr``.
    stacks : iterable of Image
        What is open already. If the fragment is among it, the ink lies on that and no fragment
        comes; if the fragment is no longer where it was, none comes either.
    """
    from napari_ink._preferences import read_preferences
    from napari_ink.inference.store import PredictionStore

    store = PredictionStore.open(path)
    stack = next((stack for stack in stacks if _is_of(stack, store)), None)
    under = [] if stack is not None else _recorded_fragment(store)
    if stack is not None:
        fragment = carried(stack)["fragment"]
        place = ink_arguments(stack, store.ink.ndim, *layer_places(store.provenance))
    else:
        fragment = under[0][1]["metadata"][KEY]["fragment"] if under else None
        place = _recorded_place(store)
    name, images = _name(store), store.images
    found = []
    for role in (*(DOUBTS if _has_doubts(store) else ()), "ink"):
        levels = [LazyArray(StoredLevel(level)) for level in images[role]]
        ink = role == "ink"
        arguments = {
            "name": name if ink else doubt_name(name, role),
            "multiscale": len(levels) > 1,
            "metadata": ink_metadata(fragment, str(path), store.provenance, role),
            **(ink_look(read_preferences().inverted_grey) if ink else doubt_look()),
            **place,
        }
        found.append((levels if len(levels) > 1 else levels[0], arguments, "image"))
    return [*under, *found]


def _has_doubts(store: PredictionStore) -> bool:
    """Whether some block has two samples that can differ."""
    return store.samples is not None and store.samples.counts.max() > 1


def _recorded_place(store: PredictionStore) -> dict[str, Any]:
    """Where a prediction lies by itself."""
    ndim = store.ink.ndim
    scale = store.voxel_size or (1.0, 1.0, 1.0)
    place: dict[str, Any] = {"axis_labels": AXES[-ndim:], "scale": scale[-ndim:]}
    if store.voxel_size is not None:
        place["units"] = (MICROMETRE,) * ndim
    if ndim == 3:
        first, step = layer_places(store.provenance)
        place["translate"] = (first * scale[0], 0, 0)
        place["scale"] = (step * scale[0], *scale[1:])
    return place


def _name(store: PredictionStore) -> str:
    record, asked = store.provenance["fragment"], store.provenance["settings"]
    first = record["first_layer"]
    name = ink_name(
        record["name"],
        asked["layers"],
        (first, first + record["shape"][0]),
        asked["reverse_depth"],
        asked.get("samples", 1) > 1,
        asked.get("symmetries", "none"),
        "windows" in store.provenance,
        len(store.provenance.get("members", ())) or 1,
    )
    off = asked.get("experts_off")
    return f"{name} without {', '.join(off)}" if off else name


def _is_of(stack: Image, store: PredictionStore) -> bool:
    """Whether a layer shows the fragment of a prediction, at the size that this was told."""
    fragment = carried(stack).get("fragment")
    if fragment is None or fragment.voxel_size != store.voxel_size:
        return False
    try:
        return fragment.fingerprint() == store.provenance["fragment"]["fingerprint"]
    except FragmentError:
        return False


def _recorded_fragment(store: PredictionStore) -> list[LayerData]:
    """The fragment of a prediction as layers; none if it is not, or no longer, where it was."""
    from napari_ink.volumes.layouts import open_fragment

    record = store.provenance["fragment"]
    if not record["path"]:
        return []
    try:
        fragment = open_fragment(record["path"])
        if fragment.fingerprint() != record["fingerprint"]:
            return []
    except InkError:  # moved, renamed or on a disk that is not there
        return []
    told = fragment.voxel_size is None and store.voxel_size is not None
    layers = fragment_layer_data(
        replace(fragment, name=record["name"], voxel_size=store.voxel_size)
    )
    layers[0][1]["metadata"][KEY]["told"] = told
    return layers


class StoredLevel:
    """One level of a prediction store, float16 on disk, float32 to look at.

    Parameters
    ----------
    array : zarr.Array
    """

    def __init__(self, array) -> None:
        self._array = array
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(np.float32)

    def read(self, *window: slice) -> np.ndarray:
        """The window, one slice an axis."""
        return np.asarray(self._array[window], np.float32)
