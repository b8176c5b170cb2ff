"""A prediction store as layers: its ink, how sure that is, and the fragment it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ink._layers import (
    AXES,
    KEY,
    MICROMETRE,
    carried,
    fragment_layer_data,
    ink_arguments,
    ink_look,
    ink_metadata,
    ink_name,
)
from napari_ink._lazy import LazyArray
from napari_ink.errors import FragmentError, InkError

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.types import LayerData

    from napari_ink.inference.store import PredictionStore


def prediction_layer_data(path: str, stacks: Iterable[Image] = ()) -> list[LayerData]:
    """A prediction store as layers: its ink, and the fragment that it was made of.

    Parameters
    ----------
    path : str
        ``NAME.ink.zarr``.
    stacks : iterable of Image
        What is open already. If the fragment is among it, the ink comes alone and lies on that; if
        the fragment is no longer where it was, the ink comes alone too.
    """
    from napari_ink._preferences import read_preferences
    from napari_ink.inference.store import PredictionStore

    store = PredictionStore.open(path)
    record = store.provenance["fragment"]
    stack = next((stack for stack in stacks if _is_of(stack, store)), None)
    under = [] if stack is not None else _recorded_fragment(store)
    levels = [LazyArray(StoredLevel(level)) for level in store.levels]
    ndim = levels[0].ndim
    place: dict[str, Any] = {"axis_labels": AXES[-ndim:]}
    if store.voxel_size is not None:
        scale = store.voxel_size[-ndim:]
        place |= {"scale": scale, "units": (MICROMETRE,) * ndim}
        if ndim == 3:
            place["translate"] = (store.provenance["first_z"] * scale[0], 0, 0)
    asked, first = store.provenance["settings"], record["first_layer"]
    end = first + record["shape"][0]
    if stack is not None:
        fragment = carried(stack)["fragment"]
        place = ink_arguments(stack, ndim, store.provenance["first_z"])
    else:
        fragment = under[0][1]["metadata"][KEY]["fragment"] if under else None
    name = ink_name(record["name"], asked["layers"], (first, end), asked["reverse_depth"])
    if asked.get("experts_off"):
        name += f" without {', '.join(asked['experts_off'])}"
    arguments = {
        "name": name,
        "multiscale": len(levels) > 1,
        "metadata": ink_metadata(fragment, str(path), store.provenance),
        **ink_look(read_preferences().inverted_grey),
        **place,
    }
    ink = (levels if len(levels) > 1 else levels[0], arguments, "image")
    return [*under, ink]


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
