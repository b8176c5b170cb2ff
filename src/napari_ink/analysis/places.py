"""Where to try something out on a fragment: small places with much papyrus, near the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box

if TYPE_CHECKING:
    from napari_ink.volumes.fragment import Fragment

SIDE = 8.0  # mm: two lines of writing, some letters of each
LARGEST, SMALLEST = 1024, 128  # px
_UNKNOWN = 8.0  # µm, the most common voxel, where nothing tells the size
_CELLS = 4  # parts of a side in which papyrus is counted
_BAND = 1 << 24  # pixels of the mask in memory at once
_LOOKS = 8  # places along each axis that are looked at where there is no mask
_FAR = 0.2  # what the farthest place is worth less than the middle, as a share of papyrus


def pixel_size(fragment: Fragment, trained: float | None = None) -> float:
    """Side of a pixel in µm: the fragment's, else that of training, else a common one."""
    if fragment.voxel_size is not None:
        return float(np.mean(fragment.voxel_size[1:]))
    return trained or _UNKNOWN


def usual_side(pixel: float) -> int:
    """Side in px of a place of 8 mm; at most 1024 px, since it is to be a short look."""
    return int(np.clip(round(1000 * SIDE / pixel), SMALLEST, LARGEST))


def places(fragment: Fragment, side: int, count: int = 1) -> list[Box]:
    """Squares that do not overlap, the best first.

    A place is worth its share of papyrus, less a fifth if it lies in the farthest corner. Without
    a mask, papyrus is where the middle layer is not zero, looked at in 64 spots.

    Parameters
    ----------
    fragment : Fragment
    side : int
        Pixels; cut where the fragment is smaller.
    count : int
        How many at most.

    Raises
    ------
    SettingsError
        When there is no papyrus at all.
    """
    _, height, width = fragment.shape
    cell = max(1, side // _CELLS)
    papyrus = _papyrus(fragment, cell)
    rows, columns = (min(_CELLS, size) for size in papyrus.shape)
    sums = np.zeros(tuple(size + 1 for size in papyrus.shape))
    sums[1:, 1:] = papyrus.cumsum(0).cumsum(1)
    share = (sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns]) + sums[
        :-rows, :-columns
    ]
    share = share / (rows * columns)
    away = np.hypot(*np.meshgrid(*map(_from_middle, share.shape), indexing="ij")) / np.sqrt(2)
    worth = np.where(share > 0, share - _FAR * away, -np.inf)
    found: list[Box] = []
    for flat in np.argsort(-worth, axis=None, kind="stable"):
        row, column = np.unravel_index(flat, worth.shape)
        if len(found) == count or not np.isfinite(worth[row, column]):
            break
        y, x = max(0, min(row * cell, height - side)), max(0, min(column * cell, width - side))
        box = Box(int(y), int(min(y + side, height)), int(x), int(min(x + side, width)))
        if not any(_overlap(box, other) for other in found):
            found.append(box)
    if not found:
        raise SettingsError(f"{fragment.name} has no papyrus", "check the mask")
    return found


def _papyrus(fragment: Fragment, cell: int) -> np.ndarray:
    """Share of papyrus in each cell."""
    _, height, width = fragment.shape
    rows, columns = -(-height // cell), -(-width // cell)
    if fragment.mask is None:
        return _seen(fragment, rows, columns)
    share = np.empty((rows, columns))
    step = max(1, _BAND // (cell * width))
    for row in range(0, rows, step):
        band = np.asarray(fragment.mask.read(slice(row * cell, (row + step) * cell))) != 0
        across = np.add.reduceat(band, np.arange(columns) * cell, axis=1, dtype=np.int64)
        down = np.add.reduceat(across, np.arange(0, len(band), cell), axis=0)
        share[row : row + len(down)] = down
    return share / cell**2


def _seen(fragment: Fragment, rows: int, columns: int) -> np.ndarray:
    depth, height, width = fragment.shape
    seen = np.empty((min(_LOOKS, rows), min(_LOOKS, columns)))
    for i in range(seen.shape[0]):
        for j in range(seen.shape[1]):
            y = int((i + 0.5) * height / seen.shape[0])
            x = int((j + 0.5) * width / seen.shape[1])
            z = slice(depth // 2, depth // 2 + 1)
            seen[i, j] = (fragment.read(z, slice(y, y + 16), slice(x, x + 16)) != 0).mean()
    nearest = (
        (np.arange(size) * looks) // size
        for size, looks in zip((rows, columns), seen.shape, strict=True)
    )
    return seen[np.ix_(*nearest)]


def _from_middle(size: int) -> np.ndarray:
    """0 in the middle of an axis, 1 at its ends."""
    return np.abs(np.linspace(-1, 1, size)) if size > 1 else np.zeros(1)


def _overlap(a: Box, b: Box) -> bool:
    return a.y0 < b.y1 and b.y0 < a.y1 and a.x0 < b.x1 and b.x0 < a.x1
