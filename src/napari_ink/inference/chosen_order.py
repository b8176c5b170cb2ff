"""Which samples to run: few that stand for many.

What sub-networks disagree about is much the same all over a fragment. So each of many candidates
is tried on a few small windows, and those are run over the whole map, in that order, whose running
mean and mean square there stay as near as can be to those of all candidates (greedy, as in kernel
herding: Chen, Welling and Smola, *Super-Samples from Kernel Herding*, UAI 2010, eq. 8, with the
maps of the windows and their squares for features). Twenty-odd chosen samples find the mean that
sixty random ones find.

How much better than random ones they are is measured, not assumed: chosen on half of the windows,
judged on the other half, both ways round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ink.inference.monte_carlo import LEAST_SAMPLES, MonteCarlo
from napari_ink.inference.tiles import round_up

#: Windows that a candidate is tried on, and their side in pixels at least.
WINDOWS, SIDE = 32, 24
#: Candidates for each sample asked for: the mean of all is then twice as sure as asked, or more.
_CANDIDATES_A_SAMPLE = 4
#: Trying is worth it on maps this many times larger than what is tried on: then it costs less
#: than a tenth of the samples.
WORTH = 64


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


def is_worth_choosing(plan_area: int, probe_side: int) -> bool:
    """Whether a map of so many pixels is large enough to try candidates first."""
    return plan_area >= WORTH * WINDOWS * probe_side**2


def probe_side(multiple_of: int, window: int | None) -> int:
    """Side of the windows that candidates are tried on, in pixels.

    Parameters
    ----------
    multiple_of : int
        Of the network.
    window : int, optional
        Fixed by the checkpoint's recipe.
    """
    return window or round_up(SIDE, multiple_of)


def candidates_for(samples: int) -> int:
    """How many candidates are tried for so many samples: a power of two."""
    return 1 << (_CANDIDATES_A_SAMPLE * samples - 1).bit_length()


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
    candidates = len(maps)
    most = min(monte_carlo.samples, candidates)
    order = herded(features(maps), most, begun)
    halves = maps[:, ::2], maps[:, 1::2]
    errors = [
        _error(other, herded(features(half), most, begun)) for half, other in (halves, halves[::-1])
    ]
    # Of all candidates' mean, and of that mean itself.
    factors = np.mean(errors, axis=0) + 1 / candidates
    enough = np.flatnonzero(factors <= 1 / monte_carlo.samples)
    least = max(len(begun), min(LEAST_SAMPLES, most))
    end = max(least, int(enough[0]) + 1 if len(enough) else most)
    return SampleOrder(tuple(order[:end]), tuple(float(f) for f in factors[:end]))


def features(maps: np.ndarray) -> np.ndarray:
    """Maps and their squares, centred, ``(candidates, …)``: mean and spread shall be met."""
    flat = maps.reshape(len(maps), -1)
    both = np.concatenate([flat, flat**2], axis=1)
    return both - both.mean(axis=0)


def herded(features: np.ndarray, count: int, begun: Sequence[int] = ()) -> list[int]:
    """Indices of rows, each of which brings the mean of those so far nearest to zero.

    Parameters
    ----------
    features : numpy.ndarray
        ``(rows, values)``, centred.
    count : int
        How many, at most all rows.
    begun : sequence of int
        The first ones.
    """
    products = features.astype(np.float64) @ features.T.astype(np.float64)
    squares = np.diag(products).copy()
    chosen, along = list(begun), products[list(begun)].sum(axis=0)
    squares[chosen] = np.inf
    while len(chosen) < min(count, len(features)):
        best = int(np.argmin(squares + 2 * along))  # ‖sum + row‖² − ‖sum‖²
        chosen.append(best)
        squares[best] = np.inf
        along = along + products[best]
    return chosen


def _error(maps: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Squared error of the running mean against all maps' mean, in their mean variance."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    variance = (flat**2).mean() * len(flat) / (len(flat) - 1)
    sums = np.zeros(flat.shape[1])
    errors = []
    for count, index in enumerate(order, start=1):
        sums += flat[index]
        errors.append(((sums / count) ** 2).mean() / max(variance, np.finfo(np.float64).tiny))
    return np.array(errors)
