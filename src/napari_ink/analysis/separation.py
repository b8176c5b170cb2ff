"""How far an ink map separates strokes from what is bare, without a label."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

STROKE = 410.0  # µm, the pen's width in real fragments (DATA.md: 52 px at 7.91 µm)
#: Below this a map shows nothing to speak of. Simulated fragments without ink gave .05 at most,
#: maps with an AUC below .6 at most .094, ink that a checkpoint finds at least .186.
FAINT = 0.1
_BINS = 256


def separation(probability: np.ndarray, pixel: float) -> float:
    """A number from 0 to 1, large where a map shows strokes, small where it shows none.

    A legible map has two kinds of places, ink and bare; each fills areas as wide as a pen's
    stroke; and they differ much in probability. So the map is smoothed over a quarter of a stroke
    (noise, seams and pooling patterns go), what changes over four strokes is taken away (neither
    a gradient nor a step across the region is writing), and the places are split in two where
    that leaves the least variance within (Otsu). With *d* the difference of the two means, *w*
    the share of the higher class and *η* the share of the variance that the split explains, the
    separation is ``2 · sqrt(w · (1 - w)) · d² · η``: the standard deviation between the classes,
    weighed by how far they differ and by how bimodal the map is. A perfect map of a tenth of ink
    comes to about .25.

    A constant map has *d* = 0, noise loses its *d* in the smoothing, specks have next to no *w*,
    a smear has a low *η*. Noise and specks of a pixel come to .0003, patterns of 16 px to .014,
    seams to .008, a gradient to .007, a step to .06 at 16 µm. Squares of half a millimetre do
    count as strokes, and so does whatever else a network invents at that scale: the number says
    that there are strokes, never that they are letters.

    Chosen by measurement on 216 maps of simulated fragments: three checkpoints, ink at full and
    at a quarter of its strength and none, every window both ways and turned. It took the right
    direction in each of the eight cases with ink that the checkpoint finds, 1.04 to 2.8 times the
    best of the wrong one (the largest at weak ink), and ranked the maps as their AUC does
    (Spearman's ρ .84–.97); ink came to .186 or more, none to .05 or less. The map's plain
    deviation took the wrong direction in two of these cases; after smoothing its margin was 1.00
    at worst and the sample checkpoint's maps without ink came to .4 of those with weak ink; *η*
    alone gave maps without ink .74–.82 where letters have .87–.89.

    Parameters
    ----------
    probability : numpy.ndarray
        ``(y, x)`` in [0, 1]; NaN is left out.
    pixel : float
        Side of a pixel in µm.

    Returns
    -------
    float
        0 where nothing was predicted.
    """
    there = np.isfinite(probability)
    if not there.any():
        return 0.0
    weight = there.astype(np.float32)
    values = np.where(there, probability, 0).astype(np.float32)
    stroke = STROKE / pixel
    strokes = _mean_around(values, weight, stroke / 4) - _mean_around(values, weight, 4 * stroke)
    return _split(strokes[there])


def _mean_around(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """The mean of what is there, weighed by a Gaussian."""
    around = gaussian_filter(weight, sigma, truncate=3, mode="constant")
    mean = gaussian_filter(values, sigma, truncate=3, mode="constant")
    return mean / np.maximum(around, np.float32(1e-6))


def _split(values: np.ndarray) -> float:
    low, high = float(values.min()), float(values.max())
    variance = float(values.var(dtype=np.float64))
    if high - low < 1e-6 or variance == 0:
        return 0.0
    counts, edges = np.histogram(values, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    share = counts / counts.sum()
    below, sums = np.cumsum(share)[:-1], np.cumsum(share * centres)[:-1]
    whole = float((share * centres).sum())
    valid = (below > 0) & (below < 1)
    below, sums = below[valid], sums[valid]
    between = (whole * below - sums) ** 2 / (below * (1 - below))
    cut = int(np.argmax(between))
    difference = (whole * below[cut] - sums[cut]) / (below[cut] * (1 - below[cut]))
    explained = min(1.0, between[cut] / variance)
    return float(2 * np.sqrt(between[cut]) * min(1.0, difference) * explained)
