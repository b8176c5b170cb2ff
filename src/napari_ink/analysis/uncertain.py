"""Where a prediction is least sure: the places of a fragment that deserve a second look.

A pixel alone says little: along every stroke runs a seam where samples differ. So a map of doubt is
averaged over the area of a pen's stroke, and the places are the highest of what is left that lie
apart from one another. It is looked at where a stroke is some ten pixels wide, on a coarser level
of the store, tile by tile: memory does not grow with the map, and tiles change no value.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label, maximum_filter1d

from napari_ink.analysis.doubt_maps import DoubtMaps
from napari_ink.analysis.separation import STROKE
from napari_ink.errors import SettingsError
from napari_ink.inference.store import PredictionStore

#: What to look for: standard deviation of the samples; mutual information in bits; the chance
#: that a sample lies on the other side of the cut than the mean.
MEASURES = ("spread", "information", "decision")
APART = 2 * STROKE  # µm between two places
MOST_PLACES = 1000
_UNKNOWN = 8.0  # µm, the most common pixel, where nothing tells the size
_STROKE_PIXELS = 8  # the coarsest level on which a stroke is as wide as this is looked at
_TRUNCATE = 3  # deviations
_LEAST_WEIGHT = 0.5  # slivers of papyrus do not count as places
_AROUND = 4  # strokes in each direction in which a patch is measured
_TILE = 1 << 20  # pixels, all layers together


@dataclass(frozen=True)
class Place:
    """A place of doubt; all values are means over the area of a stroke.

    Attributes
    ----------
    y, x : int
        Its middle, in pixels of the fragment.
    z : int or None
        Of a labelled volume, the layer of the prediction.
    value : float
        What was asked for.
    ink : float
        Probability.
    spread : float
        Standard deviation of the samples.
    across : float
        Pixels: diameter of a disc as large as the patch around it in which the doubt is at least
        half of this, within four strokes.
    """

    y: int
    x: int
    z: int | None
    value: float
    ink: float
    spread: float
    across: float

    def record(self) -> dict[str, float | int | None]:
        """As JSON."""
        return asdict(self)


def uncertain_places(
    store: PredictionStore, count: int = 20, by: str = "spread", apart: float | None = None
) -> list[Place]:
    """The most uncertain places of a sampled prediction, the worst first.

    Parameters
    ----------
    store : PredictionStore
    count : int
        How many at most.
    by : str
        One of :data:`MEASURES`.
    apart : float, optional
        Least distance of two places in µm; ``None``: two strokes.

    Raises
    ------
    SettingsError
        For numbers that make no sense.
    StoreError
        When the prediction is a single pass, or damaged.
    """
    steps = finding(store, count, by, apart)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def finding(
    store: PredictionStore, count: int = 20, by: str = "spread", apart: float | None = None
) -> Generator[float, None, list[Place]]:
    """:func:`uncertain_places`, yielding the share that has been looked at."""
    if type(count) is not int or not 1 <= count <= MOST_PLACES:
        raise SettingsError(f"{count} places", f"choose a whole number from 1 to {MOST_PLACES}")
    if by not in MEASURES:
        raise SettingsError(f"uncertainty by {by!r}", f"choose one of {', '.join(MEASURES)}")
    if apart is not None and not 0 < apart < np.inf:
        raise SettingsError(f"places {apart:g} µm apart", "choose a distance above 0")
    maps = DoubtMaps(store, level_of(store))
    sigma = deviation(store, maps.factor)
    distance = (APART if apart is None else apart) / pixel_of(store) / maps.factor
    found = []
    tiles = list(_tiles(maps.shape, maps.layers))
    for number, (y, x) in enumerate(tiles, start=1):
        found.append(_peaks(maps, by, sigma, y, x))
        yield number / (len(tiles) + 1)
    peaks = np.concatenate(found)
    return [_place(maps, by, sigma, peak) for peak in separated(peaks, count, distance)]


def pixel_of(store: PredictionStore) -> float:
    """Side of a pixel in µm; a common one where it is unknown."""
    return _UNKNOWN if store.voxel_size is None else float(np.mean(store.voxel_size[1:]))


def level_of(store: PredictionStore) -> int:
    """The coarsest level on which a stroke is 8 px wide or more; 0 where it is on none."""
    return max(0, int(np.log2(STROKE / pixel_of(store) / _STROKE_PIXELS)))


def deviation(store: PredictionStore, factor: int) -> float:
    """Of the Gaussian that is as wide as a disc of a stroke's width, in pixels of a level."""
    return STROKE / pixel_of(store) / factor / 4


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Means around each pixel, of what is known; −inf where nothing is.

    Parameters
    ----------
    values : numpy.ndarray
        ``(y, x)`` float32; NaN is unknown.
    sigma : float
        Of the Gaussian, pixels.
    """
    known = np.isfinite(values)
    options = {"sigma": sigma, "mode": "constant", "truncate": _TRUNCATE}
    weight = gaussian_filter(known.astype(np.float32), **options)
    total = gaussian_filter(np.where(known, values, np.float32(0)), **options)
    mean = total / np.maximum(weight, np.float32(_LEAST_WEIGHT))
    return np.where(known, mean, np.float32(-np.inf))


def summits(values: np.ndarray, reach: int) -> np.ndarray:
    """Pixels above 0 that come first within ``reach`` pixels up, down, left and right.

    The higher comes first; of equal ones the upper, then the left. So plateaus have one summit
    wherever they are cut into tiles.
    """
    side, low = 2 * reach + 1, {"mode": "constant", "cval": -np.inf}
    padded = np.pad(values, reach, constant_values=-np.inf)
    rows = maximum_filter1d(padded, side, axis=1, **low)
    highest = maximum_filter1d(rows, side, axis=0, **low)[reach:-reach, reach:-reach]
    last = {"size": reach, "origin": reach - reach // 2 - 1, **low}  # ends with the pixel itself
    above = maximum_filter1d(rows, axis=0, **last)[reach - 1 : -reach - 1, reach:-reach]
    left = maximum_filter1d(padded, axis=1, **last)[reach:-reach, reach - 1 : -reach - 1]
    return (values > 0) & (values >= highest) & (values > above) & (values > left)


def separated(peaks: np.ndarray, count: int, distance: float) -> np.ndarray:
    """The highest peak, then the highest of those that are not near it, and so on.

    Parameters
    ----------
    peaks : numpy.ndarray
        ``(n, 4)``: value, y, x, layer.
    count : int
    distance : float
        Pixels, in the plane; as far apart is not near.
    """
    left = peaks[np.lexsort((peaks[:, 2], peaks[:, 1], -peaks[:, 0]))]
    taken = []
    while len(left) and len(taken) < count:
        first = left[0]
        taken.append(first)
        away = np.hypot(left[:, 1] - first[1], left[:, 2] - first[2])
        left = left[(away >= distance) & (away > 0)]
    return np.array(taken).reshape(-1, 4)


def _tiles(shape: tuple[int, int], layers: int):
    side = max(64, int(np.sqrt(_TILE / layers)))
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))


def _peaks(maps: DoubtMaps, by: str, sigma: float, y: slice, x: slice) -> np.ndarray:
    """Summits of one tile: value, y, x, layer."""
    reach = max(1, round(sigma))
    margin = int(_TRUNCATE * sigma + 0.5) + reach
    around, (top, left) = maps.around((y, x), margin)
    volume = maps.read(by, around)
    highest, layer = smoothed(volume[0], sigma), np.zeros(volume.shape[1:], np.intp)
    for z in range(1, len(volume)):
        each = smoothed(volume[z], sigma)
        layer[each > highest] = z
        highest = np.maximum(highest, each)
    inside = slice(top, top + y.stop - y.start), slice(left, left + x.stop - x.start)
    rows, columns = np.nonzero(summits(highest, reach)[inside])
    value, z = highest[inside][rows, columns], layer[inside][rows, columns]
    return np.stack([value, rows + y.start, columns + x.start, z], axis=1).astype(np.float64)


def _place(maps: DoubtMaps, by: str, sigma: float, peak: np.ndarray) -> Place:
    value, (y, x, z) = float(peak[0]), peak[1:].astype(int)
    middle = slice(y, y + 1), slice(x, x + 1)
    around, at = maps.around(middle, int(_AROUND * 4 * sigma + _TRUNCATE * sigma))
    doubt = smoothed(maps.read(by, around)[z], sigma)
    patches, _ = label(doubt >= value / 2)
    area = (patches == patches[at]).sum()
    means = {
        name: float(smoothed(maps.read(name, around)[z], sigma)[at]) for name in ("ink", "spread")
    }
    return Place(
        y=int(y * maps.factor + maps.factor // 2),
        x=int(x * maps.factor + maps.factor // 2),
        z=int(z) if maps.is_volume else None,
        value=value,
        across=float(2 * np.sqrt(area / np.pi) * maps.factor),
        **means,
    )
