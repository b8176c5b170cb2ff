"""Whether .8 means ink in eight of ten pixels: the reliability diagram's numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ink.analysis.metrics import BIN_VALUES, CALIBRATION_BINS, Histogram


@dataclass(frozen=True, eq=False)
class Reliability:
    """Pixels by predicted probability, in equal intervals over [0, 1].

    Attributes
    ----------
    probability : numpy.ndarray
        Mean predicted probability of the pixels in each interval; NaN where there are none.
    ink : numpy.ndarray
        Share of them that are ink in the label; NaN where there are none.
    pixels : numpy.ndarray
        How many there are.
    """

    probability: np.ndarray
    ink: np.ndarray
    pixels: np.ndarray


def reliability(histogram: Histogram, bins: int = CALIBRATION_BINS) -> Reliability:
    """Predicted probability against the share of ink.

    The intervals are those of :func:`napari_ink.analysis.metrics.ece`, which is the mean distance
    between the two over all pixels.
    """
    interval = np.minimum((BIN_VALUES * bins).astype(np.int64), bins - 1)
    total = histogram.counts.sum(axis=0)
    pixels = np.bincount(interval, weights=total, minlength=bins)
    ink = np.bincount(interval, weights=histogram.counts[1], minlength=bins)
    probability = np.bincount(interval, weights=BIN_VALUES * total, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(probability / pixels, ink / pixels, pixels.astype(np.int64))
