"""Array-likes over lazily read volumes and planes: layers load only what is looked at.

Slicing makes another view and reads nothing; only ``np.asarray`` reads. That matters because a
viewer first cuts the visible rectangle out of all layers, then picks one layer of it.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Protocol

import numpy as np

_COARSE_SIDE = 2048  # px; a level of this side fits any screen and any texture
_CACHE_BYTES = 256 * 2**20


class Readable(Protocol):
    """A volume or a plane: shape, dtype and a window reader with one slice an axis."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, *window: slice) -> np.ndarray: ...


class LazyArray:
    """A window of a volume or plane that is read when it is converted to numpy.

    Parameters
    ----------
    source : Readable
        What to read from.
    window : tuple of slice or int, optional
        One entry an axis of the source, bounds resolved, step 1; an int drops its axis.
    """

    def __init__(self, source: Readable, window: tuple[slice | int, ...] | None = None) -> None:
        self._source = source
        self._window = window or tuple(slice(0, int(size)) for size in source.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes that were not picked by an integer."""
        return tuple(part.stop - part.start for part in self._window if isinstance(part, slice))

    @property
    def dtype(self) -> np.dtype:
        """Of what is read."""
        return np.dtype(self._source.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes left."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> LazyArray | np.ndarray:
        """Another view; keys that are no integers or unit-step slices read first."""
        keys = key if isinstance(key, tuple) else (key,)
        if any(not _is_simple(part) for part in keys):
            return np.asarray(self)[key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            fill = (slice(None),) * (self.ndim - len(keys) + 1)
            keys = keys[:at] + fill + keys[at + 1 :]
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for {self.ndim} axes")
        rest = iter(keys)
        window = tuple(
            _narrow(part, next(rest, slice(None))) if isinstance(part, slice) else part
            for part in self._window
        )
        return LazyArray(self._source, window)

    def __deepcopy__(self, memo) -> LazyArray:
        return self  # a view to read; what it reads from may hold files and locks

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        picked = tuple(0 if isinstance(part, int) else slice(None) for part in self._window)
        spans = [slice(p, p + 1) if isinstance(p, int) else p for p in self._window]
        values = self._source.read(*spans)[picked]
        return values if dtype is None else values.astype(dtype, copy=False)


def _is_simple(part) -> bool:
    if isinstance(part, slice):
        return part.step in (None, 1)
    return part is Ellipsis or (isinstance(part, int | np.integer) and not isinstance(part, bool))


def _narrow(part: slice, key: slice | int) -> slice | int:
    length = part.stop - part.start
    if isinstance(key, slice):
        start, stop, _ = key.indices(length)
        return slice(part.start + start, part.start + max(start, stop))
    index = int(key) + (length if key < 0 else 0)
    if not 0 <= index < length:
        raise IndexError(f"index {int(key)} of an axis of {length}")
    return part.start + index


class DecimatedVolume:
    """Every ``step``-th pixel of the layers of a volume, for looking at from afar.

    A layer is read once, from the full resolution, and kept while there is room.

    Parameters
    ----------
    volume : Readable
        ``(z, y, x)``.
    step : int
        Pixels of the volume a pixel here, along y and x.
    """

    def __init__(self, volume: Readable, step: int) -> None:
        self._volume = volume
        self._step = step
        depth, height, width = volume.shape
        self.shape = (depth, -(-height // step), -(-width // step))
        self.dtype = np.dtype(volume.dtype)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window, bounds resolved, in this level's own pixels."""
        return np.stack([self._layer(k)[y, x] for k in range(z.start, z.stop)])

    def _layer(self, z: int) -> np.ndarray:
        with self._lock:
            if z in self._kept:
                self._kept.move_to_end(z)
                return self._kept[z]
        _, height, width = self._volume.shape
        whole = self._volume.read(slice(z, z + 1), slice(0, height), slice(0, width))[0]
        layer = np.ascontiguousarray(whole[:: self._step, :: self._step])
        with self._lock:
            self._kept[z] = layer
            while len(self._kept) * layer.nbytes > _CACHE_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return layer


def viewing_levels(volume: Readable, coarser: tuple[Readable, ...] = ()) -> list[LazyArray]:
    """The volume as a pyramid to look at; one level where it is small.

    Parameters
    ----------
    volume : Readable
        Full resolution, ``(z, y, x)``.
    coarser : tuple of Readable
        Stored coarser levels, if the layout has them.

    Returns
    -------
    list of LazyArray
        Full resolution first. The last is at most 2,048 px a side, unless stored levels end
        earlier.
    """
    levels = [LazyArray(volume)]
    if coarser:
        return levels + [LazyArray(level) for level in coarser]
    step = coarse_step(volume.shape[-2:])
    return levels if step == 1 else [*levels, LazyArray(DecimatedVolume(volume, step))]


def coarse_step(shape: tuple[int, int]) -> int:
    """The power of two that brings a plane to at most 2,048 px a side."""
    step = 1
    while max(shape) > _COARSE_SIDE * step:
        step *= 2
    return step
