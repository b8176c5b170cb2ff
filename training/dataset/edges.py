"""The border of the ink: Canny on the label, in tiles, with the same result as on the whole."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.feature import canny

#: Gradients, of 255, from which a point goes on with a border, and from which it begins one.
LOW, HIGH = 100, 200
_TILE = 192  # px: small enough for most of them to hold no border and be passed over
_MARGIN = 8  # px that Canny looks beyond a tile: 4 of the Gaussian, 1 each of Sobel, thinning, rim


def border_points(label: np.ndarray) -> np.ndarray:
    """Where ink begins, as Canny has it.

    Canny looks a few pixels around, but a weak border counts if it hangs together, however far
    away, with a strong one. So tiles find weak and strong points, each by a Canny whose two
    thresholds are equal, and what hangs together is found from the points of all tiles.

    Parameters
    ----------
    label : numpy.ndarray
        ``(y, x)`` uint8, ink 0 … 255.

    Returns
    -------
    numpy.ndarray
        Flat indices, ascending, int64.

    References
    ----------
    The recipe, thresholds included, is that of the report of Debole and Rodriguez (2023), section
    1.1, and its code.
    """
    height, width = label.shape
    points, tiles = [], []
    for corner in product(range(0, height, _TILE), range(0, width, _TILE)):
        y, x = _tile_points(label, corner, LOW)
        if len(y):
            points.append((y + corner[0]) * width + x + corner[1])
            tiles.append((corner, y, x))
    if not tiles:
        return np.empty(0, np.int64)
    flat = np.concatenate(points)
    order = np.argsort(flat)
    group = np.empty(len(flat), np.int64)
    group[order] = _groups(flat[order], width)

    # One strong point makes a whole group, so tiles without an open group need no second look.
    begun = np.zeros(group.max() + 1, bool)
    end = 0
    for corner, y, x in tiles:
        here = group[end : end + len(y)]
        end += len(y)
        if not begun[here].all():
            strong = np.zeros((_TILE, _TILE), bool)
            strong[_tile_points(label, corner, HIGH)] = True
            begun[here[strong[y, x]]] = True
    return np.sort(flat[begun[group]])


def _tile_points(label: np.ndarray, corner: tuple[int, int], threshold: int) -> tuple:
    """Rows and columns, in a tile, of border points of at least some gradient."""
    top, left = corner
    y0, x0 = max(0, top - _MARGIN), max(0, left - _MARGIN)
    around = label[y0 : top + _TILE + _MARGIN, x0 : left + _TILE + _MARGIN]
    if around.min() == around.max():
        return np.nonzero(np.zeros((0, 0), bool))
    inner = np.s_[top - y0 : top - y0 + _TILE, left - x0 : left - x0 + _TILE]
    return np.nonzero(canny(around, low_threshold=threshold, high_threshold=threshold)[inner])


def _groups(points: np.ndarray, width: int) -> np.ndarray:
    """The group of each point: neighbours, the eight around, are of one group.

    Parameters
    ----------
    points : numpy.ndarray
        Flat indices, ascending.
    width : int
        Of the plane.
    """
    one, other = [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        inside = np.flatnonzero((points % width + right >= 0) & (points % width + right < width))
        wanted = points[inside] + down * width + right
        place = np.minimum(np.searchsorted(points, wanted), len(points) - 1)
        there = points[place] == wanted
        one.append(inside[there])
        other.append(place[there])
    ends = np.concatenate(one), np.concatenate(other)
    graph = coo_array((np.ones(len(ends[0]), bool), ends), (len(points), len(points)))
    return connected_components(graph, directed=False)[1]
