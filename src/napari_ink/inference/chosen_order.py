"""Which samples to run: few that stand for many.

What sub-networks disagree about is much the same all over a fragment. So each of many candidates
is tried on a few small windows, and those few are run over the whole map that stand best for all of
them there: found by kernel herding (Chen, Welling and Smola, *Super-Samples from Kernel Herding*,
UAI 2010, eq. 8, with a Gaussian kernel of the windows' maps), then bettered by exchanging one for
another until no exchange helps. They run in the order in which the first ones, too, stand best for
all. Some twenty chosen samples find the mean that sixty random ones find.

How much better than random ones they are is measured, not assumed: chosen on two thirds of the
windows, they are judged on the rest, each third in turn, for several numbers of samples, since the
luck of one would flatter. Those that are run are chosen on all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ink.inference.monte_carlo import LEAST_SAMPLES, MonteCarlo

#: Numbers of samples for which the error is measured, to tell it for all.
_SIZES = 12
#: Parts of the windows that are judged on in turn.
_FOLDS = 3
#: Chosen ones stand for so many times the random ones asked for: their error is itself judged with
#: an error.
_MORE = 1.05
#: Squared width of the kernel, in mean squared distances of a map from all maps' mean.
_KERNEL_WIDTH = 3.0
_AT_ONCE = 1 << 12  # pixels of all maps


@dataclass(frozen=True)
class SampleOrder:
    """Which samples are run, one after the other, and how sure their mean is.

    Attributes
    ----------
    indices : tuple of int
        Of the samples (:func:`napari_ink.inference.monte_carlo.draw`).
    factors : tuple of float
        After 1, 2, … of them: squared error of the mean, in squared standard deviations of the
        samples. Of n random samples it is 1 / n.
    """

    indices: tuple[int, ...]
    factors: tuple[float, ...]

    @classmethod
    def plain(cls, samples: int) -> SampleOrder:
        """Samples as they come."""
        return cls(tuple(range(samples)), tuple(1 / n for n in range(1, samples + 1)))

    def __len__(self) -> int:
        return len(self.indices)

    def factor(self, count: int) -> float:
        """Squared error after so many samples; see :attr:`factors`."""
        return self.factors[min(count, len(self)) - 1]


def chosen_order(maps: np.ndarray, monte_carlo: MonteCarlo, begun: Sequence[int]) -> SampleOrder:
    """From the candidates' maps to the order in which to run them.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(candidates, windows, pixels)``.
    monte_carlo : MonteCarlo
        Says how many random samples' worth it shall be.
    begun : sequence of int
        Samples that have been run already; they stay in front.
    """
    candidates, windows, _ = maps.shape
    if windows == 1:  # nowhere to judge a choice
        return SampleOrder.plain(monte_carlo.samples)
    least = max(len(begun), min(LEAST_SAMPLES, monte_carlo.samples))
    most = max(least, min(monte_carlo.samples, candidates))
    parts = [np.arange(start, windows, _FOLDS) for start in range(min(_FOLDS, windows))]
    judged = [maps[:, part].reshape(candidates, -1) for part in parts]
    others = [np.delete(maps, part, axis=1).reshape(candidates, -1) for part in parts]
    kernels = [similarities(other) for other in others]

    def errors(count: int) -> np.ndarray:
        # Of all candidates' mean, and of that mean itself.
        found = [
            squared_errors(part, chosen(kernel, count, begun))
            for part, kernel in zip(judged, kernels, strict=True)
        ]
        return np.mean(found, axis=0) + 1 / candidates

    sizes = np.unique(np.geomspace(least, most, _SIZES).round().astype(int))
    counts = np.arange(least, most + 1)
    told = power_law(sizes, np.array([errors(size)[-1] for size in sizes]), counts)
    enough = np.flatnonzero(told <= 1 / (_MORE * monte_carlo.samples))
    end = int(enough[0]) if len(enough) else -1
    count = int(counts[end])
    factors = np.maximum(errors(count), told[end])
    # However lucky the first ones are on these windows, they are not as sure as asked.
    factors[:-1] = np.maximum(factors[:-1], np.nextafter(1 / monte_carlo.samples, 1))
    factors[-1] = told[end]
    order = chosen(similarities(maps.reshape(candidates, -1)), count, begun)
    return SampleOrder(tuple(order), tuple(float(factor) for factor in factors))


def power_law(sizes: np.ndarray, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Errors for all counts, from those measured for some sizes: a falling power of the count."""
    if len(sizes) == 1:
        return np.full(len(counts), errors[0])
    logs = np.log(np.maximum(errors, np.finfo(np.float64).tiny))
    slope, _ = np.polyfit(np.log(sizes), logs, 1)
    level = (logs - min(slope, 0.0) * np.log(sizes)).mean()
    return np.exp(level + min(slope, 0.0) * np.log(counts))


def similarities(maps: np.ndarray) -> np.ndarray:
    """Gaussian kernel of all pairs of maps, centred, so that rows sum to zero, float64.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(candidates, pixels)``.
    """
    products = np.zeros(2 * maps.shape[:1])
    for start in range(0, maps.shape[1], _AT_ONCE):
        part = maps[:, start : start + _AT_ONCE].astype(np.float32)
        part -= part.mean(axis=0)
        products += part @ part.T
    lengths = np.diag(products)
    distances = lengths[:, None] + lengths - 2 * products
    width = max(_KERNEL_WIDTH * lengths.mean(), np.finfo(np.float64).tiny)
    kernel = np.exp(-np.maximum(distances, 0) / (2 * width))
    return kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()


def chosen(products: np.ndarray, count: int, begun: Sequence[int] = ()) -> list[int]:
    """Indices of rows whose mean is near zero, the first ones' too.

    Parameters
    ----------
    products : numpy.ndarray
        Scalar products of the rows, ``(rows, rows)``; the rows' mean is zero.
    count : int
        How many, at most all rows.
    begun : sequence of int
        The first ones.
    """
    best = exchanged(products, herded(products, count, begun), len(begun))
    within = products[np.ix_(best, best)]
    return [best[place] for place in herded(within, count, range(len(begun)))]


def herded(products: np.ndarray, count: int, begun: Sequence[int] = ()) -> list[int]:
    """Indices of rows, each of which brings the mean of those so far nearest to zero."""
    squares = np.diag(products).copy()
    order, along = list(begun), products[list(begun)].sum(axis=0)
    squares[order] = np.inf
    while len(order) < min(count, len(products)):
        best = int(np.argmin(squares + 2 * along))  # ‖sum + row‖² − ‖sum‖²
        order.append(best)
        squares[best] = np.inf
        along = along + products[best]
    return order


def exchanged(products: np.ndarray, order: Sequence[int], fixed: int) -> list[int]:
    """Rows exchanged, one for one of the others, until no exchange brings the mean nearer to zero.

    Parameters
    ----------
    products : numpy.ndarray
        As in :func:`chosen`.
    order : sequence of int
        What to begin with.
    fixed : int
        So many of the first stay.
    """
    order, squares = np.array(order, int), np.diag(products)
    others = np.setdiff1d(np.arange(len(products)), order)
    if len(order) == fixed or not len(others):
        return order.tolist()
    along = products[order].sum(axis=0)
    while True:
        out = order[fixed:]
        leaving = squares[out] - 2 * along[out]
        coming = squares[others] + 2 * along[others]
        change = leaving[:, None] + coming - 2 * products[np.ix_(out, others)]
        left, come = np.unravel_index(np.argmin(change), change.shape)
        if change[left, come] >= -1e-9 * squares.mean():
            return order.tolist()
        along += products[others[come]] - products[out[left]]
        order[fixed + left], others[come] = others[come], out[left]


def squared_errors(maps: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Of the mean of 1, 2, … maps against the mean of all, in their mean variance.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(candidates, pixels)``.
    order : sequence of int
        Of candidates.
    """
    variance = maps.var(axis=0, ddof=1, dtype=np.float64).mean()
    off = maps[list(order)] - maps.mean(axis=0, dtype=np.float64)
    means = np.cumsum(off, axis=0) / np.arange(1, len(off) + 1)[:, None]
    return (means**2).mean(axis=1) / max(variance, np.finfo(np.float64).tiny)
