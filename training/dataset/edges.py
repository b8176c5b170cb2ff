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
    corners = product(range(0, height, _TILE), range(0, width, _TILE))
    found = [_tile_points(label, *corner) for corner in corners]
    points = np.concatenate([points for points, _ in found])
    strong = np.concatenate([strong for _, strong in found])
    order = np.argsort(points)
    points, strong = points[order], strong[order]
    if strong.all():
        return points
    group = _groups(points, width)
    begun = np.zeros(len(points), bool)
    begun[group[strong]] = True
    return points[begun[group]]


def _tile_points(label: np.ndarray, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of a tile's weak points, and which of them are strong."""
    y0, x0 = max(0, top - _MARGIN), max(0, left - _MARGIN)
    around = label[y0 : top + _TILE + _MARGIN, x0 : left + _TILE + _MARGIN]
    if around.min() == around.max():
        return np.empty(0, np.int64), np.empty(0, bool)
    inner = np.s_[top - y0 : top - y0 + _TILE, left - x0 : left - x0 + _TILE]
    y, x = np.nonzero(canny(around, low_threshold=LOW, high_threshold=LOW)[inner])
    strong = canny(around, low_threshold=HIGH, high_threshold=HIGH)[inner][y, x]
    return (y + top) * label.shape[1] + x + left, strong


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
