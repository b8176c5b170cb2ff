"""A stored prediction against an ink label, block by block, at the threshold it came with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.metrics import Histogram, summary
from napari_ink.errors import FragmentError, StoreError
from napari_ink.inference.settings import Box
from napari_ink.inference.store import PredictionStore
from napari_ink.volumes.layouts.side_cars import as_side_car, open_plane
from napari_ink.volumes.planes import ArrayPlane

if TYPE_CHECKING:
    from napari_ink.volumes.fragment import Plane

PlaneOrPath = "Plane | np.ndarray | str | os.PathLike"

#: Pixels of a side read at a time, rounded up to the store's blocks: a block is decoded once and
#: memory does not grow with the map.
_SIDE = 2048


def evaluate(
    prediction: PredictionStore | str | os.PathLike,
    label: PlaneOrPath,
    mask: PlaneOrPath | None = None,
    supervision: PlaneOrPath | None = None,
    kept: bool = False,
) -> dict[str, float | int]:
    """Score a prediction inside the papyrus mask that it was made with.

    The threshold is the one that came with the checkpoint. It is never fitted to the label: that
    would score the label's own best cut.

    Parameters
    ----------
    prediction : PredictionStore, str or path-like
        ``NAME.ink.zarr``. What it has not predicted (yet) does not count.
    label : Plane, ndarray, str or path-like
        Ink, of the fragment's size, as a plane, an array or a PNG, TIFF or zarr; soft labels
        are cut at one half.
    mask, supervision : Plane, ndarray, str or path-like, optional
        Count only what lies in these too: another papyrus mask, and where the label is to be
        believed.
    kept : bool
        Take the threshold that was chosen and kept in the prediction instead, if there is one.

    Returns
    -------
    dict
        ``iou f05 f1 precision recall auc ap ece threshold pixels ink_pixels``, see
        :func:`napari_ink.analysis.metrics.summary`; NaN where a score is undefined.

    Raises
    ------
    FragmentError
        If label or mask have another size or cannot be read.
    StoreError
        If the prediction cannot be read, or is a labelled volume.
    """
    if not isinstance(prediction, PredictionStore):
        prediction = PredictionStore.open(prediction)
    histogram = count(prediction, label, mask, supervision)
    threshold = np.max(prediction.cuts) if kept else prediction.threshold
    return summary(histogram, float(threshold))


def count(
    prediction: PredictionStore,
    label: PlaneOrPath,
    mask: PlaneOrPath | None = None,
    supervision: PlaneOrPath | None = None,
) -> Histogram:
    """The histogram behind :func:`evaluate`; add those of several fragments to pool them."""
    shape = tuple(prediction.ink.shape)
    if len(shape) != 2:
        raise StoreError(
            f"{prediction.path} has {prediction.ink.shape[0]} layers, not one of ink",
            "evaluate predictions of an ink layer",
        )
    label = side_plane("label", label, prediction)
    masks = [
        side_plane(kind, plane, prediction)
        for kind, plane in (("mask", mask), ("supervision", supervision))
        if plane is not None
    ]
    papyrus = prediction.mask
    histogram = Histogram()
    for box in _boxes(shape, prediction.ink.chunks):
        keep = np.ones(box.shape, bool) if papyrus is None else np.asarray(papyrus[box.slices])
        for plane in masks:
            keep &= plane.read(*box.slices)
        if keep.any():
            histogram.add(prediction.read(box), label.read(*box.slices), keep)
    return histogram


def _boxes(shape: tuple[int, int], chunks: tuple[int, int]) -> Iterator[Box]:
    height, width = (-(-_SIDE // chunk) * chunk for chunk in chunks)
    for y in range(0, shape[0], height):
        for x in range(0, shape[1], width):
            yield Box(y, min(y + height, shape[0]), x, min(x + width, shape[1]))


def side_plane(kind: str, given: PlaneOrPath, store: PredictionStore) -> Plane:
    """A label or mask that goes with a prediction, whatever it is given as.

    Parameters
    ----------
    kind : str
        ``label``, ``mask`` or ``supervision``.
    given : Plane, ndarray, str or path-like
    store : PredictionStore

    Raises
    ------
    FragmentError
        If it cannot be read or has another size.
    """
    where = f"the {kind}"
    if isinstance(given, str | os.PathLike):
        where = os.fspath(given)
        depth = store.provenance["fragment"]["shape"][0]
        given = as_side_car(kind, open_plane(where, depth, mask=kind != "label"))
    elif isinstance(given, np.ndarray):
        given = as_side_car(kind, ArrayPlane(given))
    height, width = store.ink.shape[-2:]
    if tuple(given.shape) != (height, width):
        raise FragmentError(
            f"{where} has {' × '.join(map(str, given.shape))} pixels, the prediction has "
            f"{height} × {width}",
            f"give the {kind} of the fragment that was predicted",
        )
    return given
