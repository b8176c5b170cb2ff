"""Planes: the two-dimensional companions of a volume (mask, label, infrared), read lazily."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from napari_ink.errors import FragmentError

_BAND = 1 << 24  # pixels that a scan of a whole plane holds at a time


def bounds(part: slice | None, size: int) -> slice:
    """A slice with its bounds resolved as numpy would, ``start <= stop``.

    Raises
    ------
    ValueError
        For a step other than 1.
    """
    if part is None:
        return slice(0, size)
    start, stop, step = part.indices(size)
    if step != 1:
        raise ValueError("windows have no step")
    return slice(start, max(start, stop))


class BasePlane:
    """What all planes share: whole reads, ``np.asarray``, bands. Subclasses have ``_read``."""

    shape: tuple[int, int]
    dtype: np.dtype
    path: str | None = None
    band_rows: int = 1  # a multiple of this many rows is cheapest to read at once

    def read(self, y: slice | None = None, x: slice | None = None) -> np.ndarray:
        """The window ``(y, x)``, numpy slice semantics, step 1."""
        y, x = bounds(y, self.shape[0]), bounds(x, self.shape[1])
        if y.start == y.stop or x.start == x.stop:
            return np.empty((y.stop - y.start, x.stop - x.start), self.dtype)
        return self._read(y, x)

    def _read(self, y: slice, x: slice) -> np.ndarray:
        raise NotImplementedError

    def bands(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The plane from top to bottom, some 16 million pixels at a time: rows and their values."""
        height, width = self.shape
        rows = max(1, _BAND // max(width, 1))
        rows = max(self.band_rows, rows // self.band_rows * self.band_rows)
        for start in range(0, height, rows):
            y = slice(start, min(start + rows, height))
            yield y, self.read(y)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        whole = self.read()
        return whole if dtype is None else whole.astype(dtype, copy=False)


class ArrayPlane(BasePlane):
    """A plane held by anything that slices like an array."""

    def __init__(self, array, path: str | None = None) -> None:
        self.array = array
        self.path = path
        self.shape = tuple(int(size) for size in array.shape)
        self.dtype = np.dtype(array.dtype)
        if len(self.shape) != 2:
            raise FragmentError(
                f"{path or 'a plane'} has {len(self.shape)} axes", "give an image of (y, x)"
            )

    def _read(self, y: slice, x: slice) -> np.ndarray:
        return np.array(self.array[y, x])


class MaskPlane(BasePlane):
    """A mask, ``(y, x)`` bool: everything above zero (above half for ``threshold``) is inside."""

    def __init__(self, source: BasePlane, threshold: float = 0) -> None:
        self.source = source
        self.threshold = threshold
        self.path = source.path
        self.shape = source.shape
        self.band_rows = source.band_rows
        self.dtype = np.dtype(bool)

    def _read(self, y: slice, x: slice) -> np.ndarray:
        values = self.source.read(y, x)
        return values if values.dtype == bool else values > self.threshold


class LabelPlane(BasePlane):
    """An ink label, ``(y, x)`` float32 in [0, 1], soft or hard.

    Floats are taken as they are. Integers are 0/1-valued, or grey levels of 255, or of 65535:
    which one is told from the largest value, once, when the label is first read.
    """

    def __init__(self, source: BasePlane, path: str | None = None) -> None:
        self.source = source
        self.path = path or source.path
        self.shape = source.shape
        self.band_rows = source.band_rows
        self.dtype = np.dtype(np.float32)
        self._full: float | None = 1.0 if source.dtype.kind in "bf" else None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def check(self) -> None:
        """Look at every value of a label that can hold impossible ones: floats, signed integers.

        Raises
        ------
        FragmentError
            At a NaN, a negative value, or a float above 1.
        """
        if self.source.dtype.kind in "fi":
            for _ in self.bands():
                pass

    def _read(self, y: slice, x: slice) -> np.ndarray:
        values = self.source.read(y, x)
        if values.dtype.kind == "f":
            return self._checked(values.astype(np.float32, copy=False))
        if values.dtype.kind == "i" and values.size and values.min() < 0:
            raise FragmentError(
                f"{self.path or 'the label'} holds {values.min()}",
                "write 0 where there is no ink; what is unlabelled goes into a supervision mask",
            )
        values = values.astype(np.float32)
        return values if self._scale() == 1 else values / np.float32(self._scale())

    def _checked(self, values: np.ndarray) -> np.ndarray:
        low, high = float(values.min()), float(values.max())
        if np.isnan(low):
            raise FragmentError(
                f"{self.path or 'the label'} holds NaN", "write 0 where there is no ink"
            )
        if low < 0 or high > 1:
            raise FragmentError(
                f"{self.path or 'the label'} holds values from {low:g} to {high:g}",
                "scale it to 0 … 1, or save it as an 8-bit image",
            )
        return values

    def _scale(self) -> float:
        with self._lock:
            if self._full is None:
                self._full = _full_scale(self.source)
            return self._full


def _full_scale(source: BasePlane) -> float:
    """1, 255 or 65535: what full ink is in a plane of integers."""
    top, certain = 0, 1 if np.iinfo(source.dtype).max <= 255 else 255
    for _, band in source.bands():
        top = max(top, int(band.max()))
        if top > certain:  # more values cannot change the answer
            break
    return 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
