"""Where windows of a source can lie: at the border of its ink, where there is none, anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from training.dataset.sources import Source

_ROWS = 512  # of windows that are measured at a time
_CHOICE = 64  # candidates for each window that is wanted


class Band(NamedTuple):
    """All windows of a source whose first rows lie in a band.

    Attributes
    ----------
    top, left : int
        Place of the first window in the fragment; the arrays hold one value a place, ``(y, x)``.
    fits : numpy.ndarray
        bool: the source allows all of its pixels, and enough of them count.
    counted : numpy.ndarray or int
        Pixels that count.
    ink : numpy.ndarray
        Sum of the label, 0 … 255, over the pixels that count.
    """

    top: int
    left: int
    fits: np.ndarray
    counted: np.ndarray | int
    ink: np.ndarray


class Candidates(NamedTuple):
    """Windows at the border of the ink, all at different places, in order of preference.

    Attributes
    ----------
    y, x : numpy.ndarray
        Their first pixels.
    ink : numpy.ndarray
        Share of ink of the pixels that count, float32, above 0.
    """

    y: np.ndarray
    x: np.ndarray
    ink: np.ndarray


def bands(source: Source, side: int, least: float) -> Iterator[Band]:
    """Measure every window of a source, some rows at a time.

    Parameters
    ----------
    source : Source
    side : int
        Of a window, pixels.
    least : float
        Least share of a window that must count; at least one pixel must.
    """
    box = source.box
    needed = max(1, int(np.ceil(least * side * side - 1e-9)))
    for top in range(box.y0, box.y1 - side + 1, _ROWS):
        end = min(top + _ROWS, box.y1 - side + 1)
        rows = box._replace(y0=top, y1=end + side - 1)
        counts, label = source.counts[rows.slices], source.label[rows.slices]
        shape = (end - top, box.shape[1] - side + 1)
        fits = np.ones(shape, bool)
        if counts.all():
            counted = side * side
        else:
            label = label * counts
            counted = _sums(counts, side)
            fits = counted >= needed
        if source.closed is not None:
            closed = source.closed[rows.slices]
            if closed.any():
                fits &= _sums(closed, side) == 0
        yield Band(top, box.x0, fits, counted, _sums(label, side))


def border_candidates(
    source: Source,
    points: np.ndarray,
    side: int,
    least: float,
    quota: int,
    random: np.random.Generator,
) -> Candidates:
    """Windows that hold a point of the ink's border, anywhere in them.

    A window in whose middle the border always lies would tell the network where ink begins, so
    each point is shifted at random, by up to half a window from the middle. A point is tried
    with several shifts, 64 candidates for each window wanted, since few of them hold much ink;
    where a fragment has fewer, all shifts are tried. Candidates with a point's second shift come
    after those with the first ones of all points, so that they are used where those are not
    enough. No place comes twice.

    Parameters
    ----------
    source : Source
    points : numpy.ndarray
        The fragment's border, flat indices.
    side : int
        Of a window, pixels.
    least : float
        Least share of a window that must count.
    quota : int
        How many windows are wanted.
    random : numpy.random.Generator
        Of shifts and order.
    """
    width = source.label.shape[1]
    y, x = np.divmod(points, width)
    box = source.box
    inside = (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)
    inside &= source.counts[y, x]
    y, x = y[inside], x[inside]
    order = random.permutation(len(y))
    y, x = y[order], x[order]
    if len(y) * side * side <= _CHOICE * quota:
        shifts = np.tile(np.arange(side * side), (len(y), 1))
        shifts = random.permuted(shifts, axis=1).T
    else:
        rounds = max(1, -(-_CHOICE * quota // max(1, len(y))))
        shifts = random.integers(side * side, size=(rounds, len(y)))
    # One row a round: the first shift of all points, then the second of all …
    y = (y - shifts // side).ravel()
    x = (x - shifts % side).ravel()
    share = ink_shares(bands(source, side, least), y, x)
    there = np.flatnonzero(share > 0)
    _, first = np.unique(y[there] * width + x[there], return_index=True)
    there = there[np.sort(first)]
    return Candidates(y[there], x[there], share[there])


def places_at_random(
    source: Source,
    side: int,
    least: float,
    quota: int,
    random: np.random.Generator,
    void: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Windows each at another place, every place as likely as any other.

    Parameters
    ----------
    source : Source
    side : int
        Of a window, pixels.
    least : float
        Least share of a window that must count.
    quota : int
        How many are wanted; fewer come if there are not as many places.
    random : numpy.random.Generator
        Of the choice.
    void : bool
        Only those without any ink among the pixels that count; ``False``: whatever they hold.

    Returns
    -------
    tuple of numpy.ndarray
        Their first rows and first columns.
    """
    free, places = [], []  # a bit a place: a plane of them is small
    for band in bands(source, side, least):
        here = band.fits & (band.ink == 0) if void else band.fits
        free.append((band.top, band.left, here.shape, np.packbits(here)))
        places.append(np.count_nonzero(here))
    total = sum(places)
    chosen = np.sort(random.choice(total, min(quota, total), replace=False))
    y, x, before = [], [], 0
    for (top, left, shape, packed), here in zip(free, places, strict=True):
        first, end = np.searchsorted(chosen, (before, before + here))
        if first < end:
            bits = np.flatnonzero(np.unpackbits(packed, count=shape[0] * shape[1]))
            down, right = np.divmod(bits[chosen[first:end] - before], shape[1])
            y.append(down + top)
            x.append(right + left)
        before += here
    none = np.empty(0, np.int64)
    return np.concatenate([none, *y]), np.concatenate([none, *x])


def ink_shares(measured: Iterable[Band], y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Share of ink of the pixels that count in each window, float32; -1 where it does not fit."""
    share = np.full(len(y), -1, np.float32)
    for band in measured:
        height, width = band.fits.shape
        down, right = y - band.top, x - band.left
        here = (down >= 0) & (down < height) & (right >= 0) & (right < width)
        here = np.flatnonzero(here)
        place = down[here], right[here]
        fits = band.fits[place]
        here, place = here[fits], tuple(axis[fits] for axis in place)
        counted = band.counted if isinstance(band.counted, int) else band.counted[place]
        share[here] = band.ink[place] / (255 * np.asarray(counted, np.float64))
    return share


def _sums(plane: np.ndarray, side: int) -> np.ndarray:
    """Sum of each square of a plane of bytes or bools, by its first pixel."""
    # Sums along a row may overflow; their differences come out right if a square's sum fits.
    dtype = np.uint32 if side * side * 255 < 2**32 else np.uint64
    height, width = plane.shape
    column = plane[: side - 1].sum(0, dtype=dtype)
    down = np.zeros((height - side + 1, width + 1), dtype)
    for row in range(height - side + 1):  # much faster than numpy's cumsum along y
        column += plane[row + side - 1]
        down[row, 1:] = column
        column -= plane[row]
    np.cumsum(down, axis=1, out=down)
    return down[:, side:] - down[:, :-side]
