"""Layers counted block by block: whatever their size, a few blocks of them are in memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_ink.analysis.layer_histograms import LayerHistograms
from napari_ink.analysis.parts import WHOLE, Part
from napari_ink.errors import StoreError
from napari_ink.inference.layer_places import layer_names
from napari_ink.inference.settings import Box

if TYPE_CHECKING:
    from napari_ink.inference.store import PredictionStore
    from napari_ink.volumes.fragment import Plane, Volume

#: Probabilities held at a time, rounded up to whole chunks.
_VALUES = 1 << 23


class Layers(Protocol):
    """What can be counted.

    Attributes
    ----------
    shape : tuple of int
        ``(z, y, x)``.
    chunks : tuple of int
        ``(y, x)`` of what is read at once.
    """

    shape: tuple[int, int, int]
    chunks: tuple[int, int]

    def read(self, box: Box) -> np.ndarray:
        """``(z, y, x)`` probabilities in a box, NaN where nothing was predicted."""

    def papyrus(self, box: Box) -> np.ndarray | None:
        """What of a box counts, ``(y, x)``; ``None``: all."""


class StoredLayers:
    """The layers of one prediction of many, or those of several ink maps of one fragment.

    Parameters
    ----------
    stores : sequence of PredictionStore
        One, or several ink maps of the same size.

    Raises
    ------
    StoreError
        For several of which one is a labelled volume or has another size.
    """

    def __init__(self, stores: Sequence[PredictionStore]) -> None:
        first, *others = stores
        for store in others:
            if not len(first.ink.shape) == len(store.ink.shape) == 2:
                volume = first if len(first.ink.shape) != 2 else store
                raise StoreError(
                    f"{volume.path} holds a labelled volume, not an ink layer", "give it alone"
                )
            if store.ink.shape != first.ink.shape:
                raise StoreError(
                    f"{store.path} has {_size(store)} pixels, {first.path} has {_size(first)}",
                    "give predictions of the same fragment",
                )
        self.stores = tuple(stores)
        shape = first.ink.shape
        self.shape = tuple(shape) if len(shape) == 3 else (len(stores), *shape)
        self.chunks = tuple(first.ink.chunks[-2:])

    @property
    def names(self) -> list[str]:
        """What to call the layers: stored layer numbers, or the names of the ink maps."""
        first = self.stores[0]
        if len(first.ink.shape) == 3:
            return layer_names(first.provenance, self.shape[0])
        return [store.path.name.removesuffix(".ink.zarr") for store in self.stores]

    def read(self, box: Box) -> np.ndarray:
        """Probabilities of all layers in a box."""
        read = [store.read(box) for store in self.stores]
        return np.stack(read) if read[0].ndim == 2 else read[0]

    def papyrus(self, box: Box) -> np.ndarray | None:
        """Where all of them had papyrus; ``None``: everywhere."""
        masks = [np.asarray(s.mask[box.slices]) for s in self.stores if s.mask is not None]
        return np.logical_and.reduce(masks) if masks else None


def count_layers(*arguments, **options) -> list[LayerHistograms]:
    """What :func:`counting` returns, at once."""
    steps = counting(*arguments, **options)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def counting(
    layers: Layers,
    label: Plane | Volume | np.ndarray | None = None,
    masks: Sequence[Plane] = (),
    supervision: Plane | None = None,
    parts: Sequence[Part] = (WHOLE,),
) -> Generator[float, None, list[LayerHistograms]]:
    """Count layers block by block.

    Parameters
    ----------
    layers : Layers
        And what of them counts.
    label : Plane, Volume or numpy.ndarray, optional
        ``(y, x)`` for all layers or ``(z, y, x)``; one half and more is ink. ``None``: no label.
    masks : sequence of Plane
        Only what lies in all of them is counted.
    supervision : Plane, optional
        Outside it pixels count as not labelled.
    parts : sequence of Part
        What to count separately.

    Yields
    ------
    float
        Share that is done, after each block.

    Returns
    -------
    list of LayerHistograms
        One a part.
    """
    found = [LayerHistograms(layers.shape[0]) for _ in parts]
    boxes = blocks(layers.shape, layers.chunks)
    for done, box in enumerate(boxes, start=1):
        keep = layers.papyrus(box)
        keep = np.ones(box.shape, bool) if keep is None else keep
        for plane in masks:
            keep = keep & (plane.read(*box.slices) != 0)
        wanted = [
            (histograms, keep & part.within(box))
            for histograms, part in zip(found, parts, strict=True)
        ]
        if any(inside.any() for _, inside in wanted):
            probability = layers.read(box)
            truth = None if label is None else _window(label, box)
            looked = None if supervision is None else supervision.read(*box.slices)
            for histograms, inside in wanted:
                if inside.any():
                    histograms.add(probability, truth, inside, looked)
        yield done / len(boxes)
    return found


def _window(label: Plane | Volume | np.ndarray, box: Box) -> np.ndarray:
    if isinstance(label, np.ndarray):
        return label[(..., *box.slices)]
    if len(label.shape) == 3:
        return label.read(slice(0, label.shape[0]), *box.slices)
    return label.read(*box.slices)


def blocks(shape: tuple[int, int, int], chunks: tuple[int, int]) -> list[Box]:
    """The plane in whole chunks, in squares of some eight million values over all layers."""
    side = max(1, int((_VALUES / shape[0]) ** 0.5))
    height, width = (max(1, side // chunk) * chunk for chunk in chunks)
    return [
        Box(y, min(y + height, shape[1]), x, min(x + width, shape[2]))
        for y in range(0, shape[1], height)
        for x in range(0, shape[2], width)
    ]


def _size(store: PredictionStore) -> str:
    return " × ".join(map(str, store.ink.shape))
