"""A fragment seen differently without a copy of it: turned in its plane, or with one part replaced.

Both are ordinary fragments: whatever reads windows reads these too. They keep the fingerprint of
the fragment that they show, since that is what a checkpoint may have been trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_ink.volumes.fragment import Fragment, Plane, Volume
from napari_ink.volumes.planes import BasePlane

Window = tuple[slice, slice]


def turned_window(y: slice, x: slice, shape: tuple[int, int], turns: int) -> Window:
    """Where a window of an image lies once the image is turned, as ``numpy.rot90`` turns it.

    Parameters
    ----------
    y, x : slice
        Rows and columns, bounds resolved.
    shape : tuple of int
        Rows and columns of the image before it is turned.
    turns : int
        Quarter turns counterclockwise; negative ones turn back.
    """
    for _ in range(turns % 4):
        y, x = slice(shape[1] - x.stop, shape[1] - x.start), y
        shape = shape[::-1]
    return y, x


@dataclass(frozen=True, eq=False)
class _TurnedVolume:
    source: Volume
    turns: int

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.source.shape
        return (depth, width, height) if self.turns % 2 else (depth, height, width)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.source.dtype)

    @property
    def layerwise(self) -> bool:
        return getattr(self.source, "layerwise", False)

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        window = turned_window(y, x, self.shape[1:], -self.turns)
        return np.ascontiguousarray(np.rot90(self.source.read(z, *window), self.turns, (1, 2)))


class _TurnedPlane(BasePlane):
    def __init__(self, source: Plane, turns: int) -> None:
        self.source, self.turns = source, turns
        self.path = getattr(source, "path", None)
        self.shape = tuple(source.shape[::-1] if turns % 2 else source.shape)
        self.dtype = np.dtype(source.dtype)

    def _read(self, y: slice, x: slice) -> np.ndarray:
        window = turned_window(y, x, self.shape, -self.turns)
        return np.rot90(self.source.read(*window), self.turns)


def turned(fragment: Fragment, turns: int) -> Fragment:
    """The fragment turned in its plane by quarter turns, counterclockwise, read window by window.

    Volume, mask and voxel size are turned; label, photograph and pyramid are left out.

    Parameters
    ----------
    fragment : Fragment
    turns : int
        As in ``numpy.rot90``.
    """
    turns %= 4
    if not turns:
        return fragment
    size = fragment.voxel_size
    view = replace(
        fragment,
        volume=_TurnedVolume(fragment.volume, turns),
        voxel_size=(size[0], size[2], size[1]) if size and turns % 2 else size,
        mask=None if fragment.mask is None else _TurnedPlane(fragment.mask, turns),
        label=None,
        infrared=None,
        supervision=None,
        validation=None,
        levels=(),
    )
    return _known(view, fragment)


@dataclass(frozen=True, eq=False)
class _PatchedVolume:
    source: Volume
    patch: np.ndarray
    origin: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.source.dtype)

    @property
    def layerwise(self) -> bool:
        return getattr(self.source, "layerwise", False)

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        window = (z, y, x)
        common = [
            slice(max(part.start, first), min(part.stop, first + size))
            for part, first, size in zip(window, self.origin, self.patch.shape, strict=True)
        ]
        if any(part.start >= part.stop for part in common):
            return self.source.read(*window)
        theirs = tuple(
            slice(part.start - first, part.stop - first)
            for part, first in zip(common, self.origin, strict=True)
        )
        if all(part == whole for part, whole in zip(common, window, strict=True)):
            return self.patch[theirs].copy()  # the source is not even asked
        values = self.source.read(*window)
        ours = (
            slice(p.start - w.start, p.stop - w.start) for p, w in zip(common, window, strict=True)
        )
        values[tuple(ours)] = self.patch[theirs]
        return values


def patched(fragment: Fragment, patch: np.ndarray, origin: tuple[int, int, int]) -> Fragment:
    """The fragment with other values in one part, in memory; what was opened is not touched.

    Windows within the part are answered from memory. With the fragment's own values as the patch
    this keeps a part at hand that is going to be read many times.

    Parameters
    ----------
    fragment : Fragment
    patch : numpy.ndarray
        ``(z, y, x)``, of the fragment's dtype.
    origin : tuple of int
        Of the patch, ``(z, y, x)`` from 0.
    """
    if patch.dtype != fragment.dtype:
        raise ValueError(f"a patch of {patch.dtype} for a fragment of {fragment.dtype}")
    volume = _PatchedVolume(fragment.volume, patch, tuple(origin))
    return _known(replace(fragment, volume=volume), fragment)


def _known(view: Fragment, fragment: Fragment) -> Fragment:
    view.__dict__["_fingerprint"] = fragment.fingerprint()
    return view
