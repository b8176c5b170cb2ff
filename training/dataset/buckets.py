"""Balance: as many windows with little ink as with much."""

from __future__ import annotations

import numpy as np


def bucket_of(ink: np.ndarray, buckets: int) -> np.ndarray:
    """The bin of each share of ink in [0, 1]; bins are equal, the last one holds its end."""
    return np.minimum((ink * buckets).astype(np.int64), buckets - 1)


def spread(quota: int, available: np.ndarray, cap: int | None = None) -> np.ndarray:
    """How many to take from each bucket, as evenly as what is there allows.

    A bucket that has less than an even share gives all it has, and the others share the rest
    alike. Those that one unit cannot be shared among give it in their order, least ink first.

    Parameters
    ----------
    quota : int
        How many in all; fewer if the buckets do not hold them.
    available : numpy.ndarray
        How many each bucket holds.
    cap : int, optional
        The most to take from one.

    Returns
    -------
    numpy.ndarray
        int64, the shape of ``available``.
    """
    room = np.minimum(available, np.iinfo(np.int64).max if cap is None else cap).astype(np.int64)
    taken = np.zeros_like(room)
    left = min(quota, int(room.sum()))
    while left:
        open_ = np.flatnonzero(taken < room)
        share = left // len(open_)
        if share == 0:
            taken[open_[:left]] += 1
            break
        more = np.minimum(room[open_] - taken[open_], share)
        taken[open_] += more
        left -= int(more.sum())
    return taken


def choose(bucket: np.ndarray, quota: int, buckets: int, cap: int | None = None) -> np.ndarray:
    """Indices of a balanced choice, the first ones of each bucket in the order given.

    Parameters
    ----------
    bucket : numpy.ndarray
        Of each candidate, from 0.
    quota, buckets, cap : int
        See :func:`spread`.
    """
    taken = spread(quota, np.bincount(bucket, minlength=buckets), cap)
    return np.concatenate([np.flatnonzero(bucket == b)[: taken[b]] for b in range(buckets)])
