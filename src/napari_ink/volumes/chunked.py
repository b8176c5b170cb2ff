"""Zarr arrays as volumes and planes: singleton axes dropped, damage named by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import zarr

from napari_ink.errors import FragmentError
from napari_ink.volumes.planes import BasePlane

_HELD = 1 << 26  # values that a plane in a deep array holds at a time
_NETWORK = ("aiohttp", "aiobotocore", "botocore", "s3fs", "fsspec", "urllib3", "requests")


@dataclass(frozen=True)
class ZarrVolume:
    """Three axes of a zarr array.

    Attributes
    ----------
    array : zarr.Array
    where : str
        Path or URL of the array, for messages.
    kept : tuple of int
        The axes that are z, y, x, in this order; all others have length 1.
    """

    array: zarr.Array
    where: str
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return tuple(self.array.shape[axis] for axis in self.kept)

    @property
    def dtype(self) -> np.dtype:
        """In native byte order."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    @property
    def chunks(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of what is stored in one piece."""
        return tuple(self.array.chunks[axis] for axis in self.kept)

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window; only its chunks are read and decoded."""
        window = read_array(self.array, self.where, self._selection(z, y, x))
        return np.ascontiguousarray(window.reshape(z.stop - z.start, y.stop - y.start, -1))

    def _selection(self, *window: slice) -> tuple[slice, ...]:
        selection = [slice(0, 1)] * self.array.ndim
        for axis, part in zip(self.kept, window, strict=True):
            selection[axis] = part
        return tuple(selection)


class ZarrPlane(BasePlane):
    """A plane in a zarr array: the array itself, or the slices of a deep one laid together.

    Labels in a volume's own shape hold ink in one of 65 slices; which one nobody records, so the
    largest value along z is the plane.
    """

    def __init__(self, array: zarr.Array, where: str, kept: tuple[int, ...]) -> None:
        self.array, self.where, self.kept = array, where, kept
        self.path = where
        self.depth = array.shape[kept[0]] if len(kept) == 3 else 1
        self.shape = tuple(array.shape[axis] for axis in kept[-2:])
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.band_rows = (array.shards or array.chunks)[kept[-2]]

    def _read(self, y: slice, x: slice) -> np.ndarray:
        if self.depth == 1:
            return self._slices(slice(0, 1), y, x)
        out = np.empty((y.stop - y.start, x.stop - x.start), self.dtype)
        step = max(1, _HELD // (self.depth * out.shape[1]))
        step = max(1, step // self.band_rows) * self.band_rows
        edges = [y.start, *range((y.start // step + 1) * step, y.stop, step), y.stop]
        for top, bottom in pairwise(edges):
            band = self._slices(slice(0, self.depth), slice(top, bottom), x)
            band.max(axis=0, out=out[top - y.start : bottom - y.start])
        return out

    def _slices(self, z: slice, y: slice, x: slice) -> np.ndarray:
        selection = [slice(0, 1)] * self.array.ndim
        for axis, part in zip(self.kept, (z, y, x)[-len(self.kept) :], strict=True):
            selection[axis] = part
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        band = read_array(self.array, self.where, tuple(selection)).reshape(shape)
        return band[0] if self.depth == 1 else band


def read_array(array: zarr.Array, where: str, selection: tuple[slice, ...]) -> np.ndarray:
    """A window of a zarr array.

    Raises
    ------
    FragmentError
        When the network fails, or a chunk cannot be read or decoded; names the chunk.
    """
    try:
        return np.asarray(array[selection])
    except Exception as error:
        if is_network(error) or ("://" in where and isinstance(error, OSError)):
            raise unreachable(where, error) from error
        raise _blame(array, where, selection, error) from error


def is_network(error: BaseException) -> bool:
    """Whether an error came from the way to the data rather than from the data."""
    return isinstance(error, TimeoutError | ConnectionError) or (
        type(error).__module__.split(".")[0] in _NETWORK
    )


def unreachable(where: str, error: BaseException) -> FragmentError:
    """The error of a URL that does not answer."""
    reason = str(error).splitlines()[0] if str(error) else "no answer in time"
    return FragmentError(
        f"{where} cannot be reached ({reason})", "check the address and the connection"
    )


def _blame(array, where: str, selection: tuple[slice, ...], error: Exception) -> FragmentError:
    """Find the chunk, or the shard that holds it, which makes a window unreadable."""
    grid = array.shards or array.chunks
    ranges = [
        range(part.start // size, -(-part.stop // size))
        for part, size in zip(selection, grid, strict=True)
    ]
    for place in product(*ranges):
        chunk = tuple(
            slice(k * size, min((k + 1) * size, length))
            for k, size, length in zip(place, grid, array.shape, strict=True)
        )
        try:
            array[chunk]
        except Exception as reason:
            key = array.metadata.encode_chunk_key(place)
            name = f"{where.rstrip('/')}/{key}"
            if isinstance(reason, PermissionError):
                return FragmentError(
                    f"no permission to read {name}", "ask its owner for read access"
                )
            text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
            return FragmentError(
                f"chunk {name} is corrupt ({text})", "copy or download this chunk again"
            )
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FragmentError(f"{where} cannot be read ({text})", "try again")
