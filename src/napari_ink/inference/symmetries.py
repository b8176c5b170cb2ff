"""The eight symmetries of a square, which turn the fragment before the network and back after it.

A network should find the same ink whichever way a fragment lies. Its maps of the turned fragment,
turned back and averaged, are a little better than one map, and how they differ says where the
network is unsure (test-time augmentation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from napari_ink.inference.tiles import Tile

_FLIP_Y, _FLIP_X, _TRANSPOSE = 1, 2, 4
_FLIPS = (0, 3, 1, 2)
#: By name: the symmetries that are averaged, opposite ones one after the other, so that the first
#: few are no worse than others.
AVERAGED = {"none": (0,), "flips": _FLIPS, "all": (0, 3, 5, 6, 1, 2, 4, 7)}
#: One symmetry a tile, in turn: the cost of a single pass.
TURNS = "turns"
NAMES = (*AVERAGED, TURNS)


def check_symmetries(name: str) -> None:
    """Refuse a name that is not one of :data:`NAMES`."""
    if name not in NAMES:
        raise SettingsError(f"symmetries {name!r}", f"choose one of {', '.join(NAMES)}")


def turned(values: np.ndarray, symmetry: int) -> np.ndarray:
    """A view of ``(…, y, x)``, turned: transposed first, then flipped.

    Parameters
    ----------
    values : numpy.ndarray
    symmetry : int
        From 0, none, to 7.
    """
    if symmetry & _TRANSPOSE:
        values = values.swapaxes(-1, -2)
    return _flipped(values, symmetry)


def turned_back(values: np.ndarray, symmetry: int) -> np.ndarray:
    """What :func:`turned` turned, as it lay before."""
    values = _flipped(values, symmetry)
    return values.swapaxes(-1, -2) if symmetry & _TRANSPOSE else values


def _flipped(values: np.ndarray, symmetry: int) -> np.ndarray:
    y = slice(None, None, -1 if symmetry & _FLIP_Y else 1)
    x = slice(None, None, -1 if symmetry & _FLIP_X else 1)
    return values[..., y, x]


def turns_of(tiles: Iterable[Tile | None], shape: tuple[int, int]) -> list[int]:
    """The symmetry of each tile in turn, from its place in the grid alone.

    So that it is the same in a region, after a stop and around any focus.

    Parameters
    ----------
    tiles : iterable of Tile or None
    shape : tuple of int
        ``(height, width)`` of the grid's tiles; only square ones can be transposed.
    """
    count = 8 if shape[0] == shape[1] else 4
    return [0 if tile is None else (3 * tile.row + tile.column) % count for tile in tiles]
