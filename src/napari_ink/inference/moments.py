"""What is kept of the samples of a block: sums that grow by one map at a time, never the maps."""

from __future__ import annotations

import numpy as np

#: Planes of a state: samples so far, their mean, the sum of squared deviations from it (Welford's
#: M2), and the mean entropy of the single samples in bits.
PLANES = ("count", "mean", "m2", "entropy")


class Moments:
    """Running mean, spread and entropy of a block's samples.

    Parameters
    ----------
    state : numpy.ndarray
        ``(4, y, x)`` or ``(4, z, y, x)`` float32, the planes of :data:`PLANES`; changed by
        :meth:`add`.
    """

    def __init__(self, state: np.ndarray) -> None:
        self.state = state

    @classmethod
    def none_of(cls, shape: tuple[int, ...]) -> Moments:
        """Of no sample yet, for maps of a shape."""
        return cls(np.zeros((len(PLANES), *shape), np.float32))

    @property
    def count(self) -> int:
        """Samples so far."""
        return int(self.state[0].flat[0])

    @property
    def mean(self) -> np.ndarray:
        """Mean probability."""
        return self.state[1]

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the samples (divided by n − 1); 0 of a single one."""
        return np.sqrt(self.state[2] / np.float32(max(1, self.count - 1)))

    @property
    def information(self) -> np.ndarray:
        """Mutual information of ink and sub-network, in bits: what the samples disagree about.

        The entropy of the mean less the mean entropy (Houlsby et al., *Bayesian Active Learning
        for Classification and Preference Learning*, arXiv 1112.5745, eq. 2).
        """
        return np.maximum(entropy(self.mean) - self.state[3], np.float32(0))

    @property
    def deviation(self) -> float:
        """Root mean square of :attr:`spread` over the pixels that were predicted."""
        squares = self.state[2] / np.float32(max(1, self.count - 1))
        known = squares[~np.isnan(squares)]
        return float(np.sqrt(known.mean(dtype=np.float64))) if known.size else 0.0

    def add(self, probability: np.ndarray) -> None:
        """Take in the map of one more sample, NaN where nothing is predicted."""
        self.state[0] += 1
        count = np.float32(self.count)
        change = probability - self.state[1]
        self.state[1] += change / count
        self.state[2] += change * (probability - self.state[1])
        self.state[3] += (entropy(probability) - self.state[3]) / count


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy of ink or no ink, in bits, float32: 1 where it is a toss-up, 0 where it is sure."""
    inside = np.clip(np.asarray(probability, np.float32), np.float32(1e-7), np.float32(1 - 1e-7))
    other = 1 - inside
    bits = -(inside * np.log2(inside) + other * np.log2(other))
    return np.where((probability <= 0) | (probability >= 1), np.float32(0), bits)
