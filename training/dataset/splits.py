"""What is learned from and what is validated on: parts, folds, and the distance between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from scipy import ndimage

from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box


def parse_part(part: str) -> tuple[int, int]:
    """``"2/3"`` as ``(2, 3)``.

    Raises
    ------
    SettingsError
        For anything that is not one of some parts.
    """
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", part)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise SettingsError(
            f"there is no part {part!r}", "write 2/3 for the second of three, from 1/3 to 3/3"
        )
    return number, of


def band(area: np.ndarray, number: int, of: int) -> tuple[int, int]:
    """Rows of one of several bands of equal area, as equal as whole rows allow.

    Parameters
    ----------
    area : numpy.ndarray
        Pixels that count in each row.
    number, of : int
        The band, counted from 1, and how many there are.

    Returns
    -------
    tuple of int
        Its first row and the one after its last. All bands together are all rows.

    Raises
    ------
    SettingsError
        If there are fewer rows with area than bands.
    """
    below = np.concatenate([[0], np.cumsum(area, dtype=np.int64)])
    cuts = [0]
    for i in range(1, of):
        wanted = below[-1] * i / of
        row = int(np.searchsorted(below, wanted))
        nearer_before = row and wanted - below[row - 1] < below[row] - wanted
        cuts.append(row - 1 if nearer_before else row)
    cuts.append(len(area))
    if any(below[b] <= below[a] for a, b in pairwise(cuts)):
        raise SettingsError(f"{np.count_nonzero(area)} rows of papyrus in {of} parts", "take fewer")
    return cuts[number - 1], cuts[number]


def deal(areas: Sequence[int], given: Sequence[int | None], folds: int | None) -> list[int]:
    """The fold of each source.

    Parameters
    ----------
    areas : sequence of int
        Mask area of each source, pixels.
    given : sequence of int or None
        Folds that were set by hand, which stay.
    folds : int, optional
        Deal the others out to this many folds, the largest source first, each to the fold that
        has least area so far. ``None``: every source is the fold of its place in the list.
    """
    if folds is None:
        return [i if fold is None else fold for i, fold in enumerate(given)]
    filled = [0] * folds
    dealt = list(given)
    for area, fold in zip(areas, given, strict=True):
        if fold is not None and fold < folds:
            filled[fold] += area
    for i in sorted(range(len(areas)), key=lambda i: (-areas[i], i)):
        if dealt[i] is None:
            dealt[i] = min(range(folds), key=lambda fold: (filled[fold], fold))
            filled[dealt[i]] += areas[i]
    return dealt


def near(
    shape: tuple[int, int], boxes: Iterable[Box], masks: Iterable[np.ndarray], context: int
) -> np.ndarray:
    """Pixels that may be in no training window, bool ``(y, x)``.

    These are all pixels of the boxes and masks that are validated on and, ``context`` pixels far
    along y and x, all that the network sees when it is asked for one of them.
    """
    closed = np.zeros(shape, bool)
    for box in boxes:
        y0, x0 = max(0, box.y0 - context), max(0, box.x0 - context)
        closed[y0 : box.y1 + context, x0 : box.x1 + context] = True
    for mask in masks:
        wide = mask.view(np.uint8)
        for axis in (0, 1):
            wide = ndimage.maximum_filter1d(wide, 2 * context + 1, axis, mode="constant")
        closed |= wide.view(bool)
    return closed
