"""Which regions a blind review shows, in which order, and which picture is on the left.

All of it follows from the seed. Squares of one grid are taken, so that none overlaps another; where
the grid begins is drawn too, among those places where enough squares hold something to judge.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_ink.analysis.blind_review import KEYS, Key, Region, Review, now
from napari_ink.analysis.blind_review_pictures import Side, check_pair, digest_of, pictures
from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box

REGIONS = 20
SIDE = 5000.0  # µm: a letter and its neighbours; letters of the scrolls are 2.5 to 4.5 mm high
_OF_FRAGMENT = 0.4  # of its shorter side: a small fragment is still to give some squares
SMALLEST = 32  # px
_CELLS = 4  # parts of a side, in which pixels are counted
_KNOWN = 0.9  # share of a square that both have to have predicted
_INK = 0.01  # share of a square that one has to call ink, so that there is something to judge
_AT_ONCE = 1 << 24  # values of a prediction in memory
_UNKNOWN = 8.0  # µm, the most common voxel, where nothing tells the size


def usual_side(shape: tuple[int, int], pixel: float | None) -> int:
    """Side of a region in px: 5 mm, or two fifths of a small fragment's shorter side."""
    wanted = min(SIDE / (pixel or _UNKNOWN), min(shape) * _OF_FRAGMENT)
    return max(SMALLEST, int(wanted))


def pixel_size(side: Side) -> float | None:
    """Side of a pixel in µm, if known."""
    size = side.store.voxel_size
    return None if size is None else float(np.mean(size[1:]))


def plan_review(
    a: Side,
    b: Side,
    *,
    regions: int = REGIONS,
    side: int | None = None,
    repeats: int = 0,
    seed: int = 0,
    reader: str = "",
) -> Generator[float, None, Review]:
    """Plan a review; yields the share done, returns the review.

    Parameters
    ----------
    a, b : Side
    regions : int
        How many at most; fewer where the fragment has no more that hold ink.
    side : int, optional
        Of a region, in pixels, made a multiple of 4; ``None``: :func:`usual_side`.
    repeats : int
        How many of them come back with sides swapped, in the second half; at most half.
    seed : int
    reader : str

    Raises
    ------
    SettingsError
        When the two cannot be compared, or no region can be found.
    """
    check_pair(a, b)
    shape = a.store.ink.shape[-2:]
    pixel = pixel_size(a)
    cell = _cell(shape, side if side is not None else usual_side(shape, pixel))
    _check(regions, repeats, seed)
    rng = np.random.default_rng(seed)
    known, ink = yield from _counts(a, b, cell)
    boxes = _choose(rng, known, ink, cell, regions)
    if not boxes:
        raise SettingsError(
            f"no square of {_CELLS * cell} px lies on papyrus that both predictions hold",
            "choose a smaller side, or predict the same region with both",
        )
    found: list[Region] = []
    for box, left in zip(boxes, _sides(rng, len(boxes)), strict=True):
        found.append(Region(box, left, None, digest_of(pictures(a, b, box))))
    kept = a.store.provenance["fragment"]
    return Review(
        fragment={
            "name": kept["name"],
            "fingerprint": kept["fingerprint"],
            "shape": list(shape),
            "pixel_um": pixel,
            "simulated": bool(kept["simulated"]),
        },
        a=a.shown,
        b=b.shown,
        regions=_with_repeats(rng, found, repeats),
        seed=seed,
        created=now(),
        reader=reader.strip(),
    )


def _check(regions: int, repeats: int, seed: int) -> None:
    if regions < 1:
        raise SettingsError(f"{regions} regions", "ask for at least one")
    if not 0 <= repeats <= regions // 2:
        raise SettingsError(
            f"{repeats} repeats of {regions} regions", "ask for at most half as many as regions"
        )
    if seed < 0:
        raise SettingsError(f"seed {seed}", "give a whole number from 0 on")


def _cell(shape: tuple[int, int], side: int) -> int:
    cell = round(side / _CELLS)
    if _CELLS * cell < SMALLEST or _CELLS * cell > min(shape):
        raise SettingsError(
            f"regions of {side} px", f"choose a side from {SMALLEST} to {min(shape)} px"
        )
    return cell


def _counts(a: Side, b: Side, cell: int) -> Generator[float, None, tuple[np.ndarray, np.ndarray]]:
    """Pixels of each whole cell that both predicted, and those that each of them calls ink."""
    height, width = a.store.ink.shape[-2:]
    rows, columns = height // cell, width // cell
    known, ink = np.zeros((rows, columns), np.int64), np.zeros((2, rows, columns), np.int64)
    layers = max(int(np.prod(side.store.ink.shape[:-2])) for side in (a, b))
    step = max(1, _AT_ONCE // (layers * width * cell))
    cuts = [side.own_cut if side.cut is None else side.cut for side in (a, b)]
    for row in range(0, rows, step):
        end = min(row + step, rows)
        box = Box(row * cell, end * cell, 0, columns * cell)
        bands = [side.probability(box) for side in (a, b)]
        both = ~(np.isnan(bands[0]) | np.isnan(bands[1]))
        known[row:end] = _summed(both, cell)
        for mine, band, cut in zip(ink, bands, cuts, strict=True):
            mine[row:end] = _summed(both & (band >= cut), cell)
        yield end / rows
    return known, ink


def _summed(pixels: np.ndarray, cell: int) -> np.ndarray:
    rows, columns = pixels.shape[0] // cell, pixels.shape[1] // cell
    return pixels.reshape(rows, cell, columns, cell).sum(axis=(1, 3))


def _choose(
    rng: np.random.Generator, known: np.ndarray, ink: np.ndarray, cell: int, count: int
) -> list[Box]:
    """Squares of one grid in random order; blank ones only where there are no others at all."""
    area = (_CELLS * cell) ** 2
    on_papyrus, with_ink = {}, {}
    for first in np.ndindex(_CELLS, _CELLS):
        enough = _squares(known, first) >= _KNOWN * area
        on_papyrus[first] = np.argwhere(enough)
        most_ink = np.maximum(*(_squares(one, first) for one in ink))
        with_ink[first] = np.argwhere(enough & (most_ink >= _INK * area))
    grids = with_ink if any(map(len, with_ink.values())) else on_papyrus
    most = min(count, max(map(len, grids.values())))
    if not most:
        return []
    offered = [first for first, squares in grids.items() if len(squares) >= most]
    first = offered[rng.integers(len(offered))]
    side = _CELLS * cell
    corners = rng.permutation(grids[first])[:most] * side + np.array(first) * cell
    return [Box(int(y), int(y) + side, int(x), int(x) + side) for y, x in corners]


def _squares(cells: np.ndarray, first: tuple[int, int]) -> np.ndarray:
    """Sums over the squares of the grid that begins at a cell."""
    rows, columns = ((size - at) // _CELLS for size, at in zip(cells.shape, first, strict=True))
    inside = cells[first[0] :, first[1] :][: rows * _CELLS, : columns * _CELLS]
    return inside.reshape(rows, _CELLS, columns, _CELLS).sum(axis=(1, 3))


def _sides(rng: np.random.Generator, count: int) -> list[Key]:
    """Whose picture is on the left: each of the two in half of the regions, in random order."""
    order = rng.permutation(2)  # which one has the odd region
    return [KEYS[order[k % 2]] for k in rng.permutation(count)]


def _with_repeats(
    rng: np.random.Generator, regions: list[Region], count: int
) -> tuple[Region, ...]:
    """Some of the first half once more, sides swapped, spread over the second half."""
    half = len(regions) // 2
    count = min(count, half)
    again = [
        Region(regions[k].box, KEYS[1 - KEYS.index(regions[k].left)], int(k), regions[k].pixels)
        for k in rng.choice(half, count, replace=False)
    ]
    later: list[Region] = regions[half:]
    for repeat in again:
        # Not the first there: the region that it shows may be the one just judged.
        later.insert(int(rng.integers(1, len(later) + 1)), repeat)
    return (*regions[:half], *later)
