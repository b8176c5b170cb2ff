"""Structural similarity of an ink map and its label.

A score of pictures, not of ink: it rewards smooth, well-shaped letters and, since most of a map
is empty and flat, is high for almost any map with little ink. It stands beside the other scores
and chooses nothing.
"""

from __future__ import annotations

import numpy as np

#: Gaussian window of Wang, Bovik, Sheikh and Simoncelli 2004 (IEEE TIP 13(4), section III.C).
_SIGMA = 1.5
_RADIUS = 5
#: Pixels of a side worked on at a time, so that memory does not grow with the map.
_SIDE = 1024


def ssim(probability: np.ndarray, label: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity between map and label within the mask.

    A pixel counts if its whole window (11 × 11 px, Gaussian, σ = 1.5 px) lies in the map, in the
    mask and in what was predicted, so that nothing outside changes the score. Constants
    K1 = .01, K2 = .03 and a range of 1, as published.

    Parameters
    ----------
    probability : numpy.ndarray
        ``(y, x)`` in [0, 1]; NaN is not predicted.
    label : numpy.ndarray
        ``(y, x)``, boolean or soft in [0, 1].
    mask : numpy.ndarray, optional
        ``(y, x)``; where map and label count.

    Returns
    -------
    float
        In [-1, 1], 1 for equal pictures; NaN where no pixel counts.
    """
    from scipy.ndimage import minimum_filter
    from skimage.metrics import structural_similarity

    keep = ~np.isnan(probability)
    if mask is not None:
        keep &= np.asarray(mask) != 0
    side = 2 * _RADIUS + 1
    if min(keep.shape) < side:
        return float("nan")
    total, pixels = 0.0, 0
    height, width = keep.shape
    for y in range(0, height, _SIDE):
        for x in range(0, width, _SIDE):
            rows = slice(max(0, y - _RADIUS), min(height, y + _SIDE + _RADIUS))
            columns = slice(max(0, x - _RADIUS), min(width, x + _SIDE + _RADIUS))
            counts = minimum_filter(keep[rows, columns], side, mode="constant", cval=0)
            # What was added for context belongs to the neighbouring piece.
            top, left = y - rows.start, x - columns.start
            inner = slice(top, top + _SIDE), slice(left, left + _SIDE)
            if not counts[inner].any():
                continue
            inside = keep[rows, columns]
            pictures = (
                np.where(inside, np.asarray(plane[rows, columns], np.float32), np.float32(0))
                for plane in (probability, label)
            )
            _, similarity = structural_similarity(
                *pictures,
                data_range=1.0,
                gaussian_weights=True,
                sigma=_SIGMA,
                use_sample_covariance=False,
                full=True,
            )
            total += float(similarity[inner][counts[inner]].sum(dtype=np.float64))
            pixels += int(counts[inner].sum())
    return total / pixels if pixels else float("nan")
