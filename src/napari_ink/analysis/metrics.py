"""Scores of an ink map, exact, from a histogram of probability × label.

A map is stored as float16, and the float16 values from 0 to 1 are only 15,361. One bin a value
therefore loses nothing: precision, recall, IoU and F-beta at *any* threshold, the area under the
ROC curve and average precision all follow from the counts, and a map of any size is counted
block by block. Histograms of several maps add up to pooled scores.

Where a score is 0/0 (no ink in the label and none predicted, a label of one class for the area
under the curve, no pixel at all) it is undefined and given as NaN, never as a flattering 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

#: Half-precision bit pattern of 1.0. For non-negative numbers the patterns, read as integers,
#: are ordered like the numbers, so the pattern *is* the bin.
_ONE = 0x3C00

#: The probability of each bin, ascending, float64.
BIN_VALUES: np.ndarray = np.arange(_ONE + 1, dtype=np.uint16).view(np.float16).astype(np.float64)

#: Bins of the expected calibration error: equal widths over [0, 1], as in Guo et al. 2017
#: (arXiv 1706.04599), whose tables use 15.
CALIBRATION_BINS = 15


class Histogram:
    """Pixels counted by label (no ink, ink) and float16 probability.

    Parameters
    ----------
    counts : numpy.ndarray, optional
        ``(2, 15361)`` integers: row 0 without ink, row 1 with; ``None``: empty.
    """

    def __init__(self, counts: np.ndarray | None = None) -> None:
        shape = (2, BIN_VALUES.size)
        if counts is None:
            counts = np.zeros(shape, np.int64)
        elif counts.shape != shape:
            raise ValueError(f"counts have shape {counts.shape}, not {shape}")
        self.counts = counts.astype(np.int64)

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        label: np.ndarray,
        mask: np.ndarray | None = None,
        supervision: np.ndarray | None = None,
    ) -> Histogram:
        """The histogram of one map in memory; see :meth:`add`."""
        return cls().add(probability, label, mask, supervision)

    def add(
        self,
        probability: np.ndarray,
        label: np.ndarray,
        mask: np.ndarray | None = None,
        supervision: np.ndarray | None = None,
    ) -> Histogram:
        """Count one block and return the histogram itself.

        Parameters
        ----------
        probability : numpy.ndarray
            In [0, 1], rounded to float16 as the store does; NaN (not predicted) is left out.
        label : numpy.ndarray
            Ink label of the same shape, boolean or soft in [0, 1]: one half and more is ink.
        mask, supervision : numpy.ndarray, optional
            Only pixels that are non-zero in both count: papyrus, and where the label was
            looked at (unlabelled is not negative).

        Raises
        ------
        ValueError
            If shapes differ, a probability lies outside [0, 1] or a label that counts is NaN.
        """
        bins = np.asarray(probability).astype(np.float16)
        keep = ~np.isnan(bins)
        for name, plane in (("label", label), ("mask", mask), ("supervision", supervision)):
            if plane is None:
                continue
            if np.shape(plane) != bins.shape:
                raise ValueError(f"{name} is {np.shape(plane)}, probability {bins.shape}")
            if name != "label":
                keep &= np.asarray(plane) != 0
        bins = bins[keep]
        label = np.asarray(label)[keep]
        if label.dtype.kind == "f" and np.isnan(label).any():
            raise ValueError("the label has NaNs inside the mask")
        # Adding +0 turns the negative zero, whose pattern is not the smallest, into the positive.
        patterns = (bins + np.float16(0)).view(np.uint16).astype(np.int64)
        if patterns.size and patterns.max() > _ONE:
            raise ValueError("a probability lies outside [0, 1]")
        patterns += np.where(label >= 0.5, BIN_VALUES.size, 0)
        flat = np.bincount(patterns, minlength=2 * BIN_VALUES.size)
        self.counts += flat.reshape(self.counts.shape)
        self.__dict__.pop("_at_or_above", None)
        return self

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.counts.sum())

    @property
    def ink_pixels(self) -> int:
        """How many of them are ink in the label."""
        return int(self.counts[1].sum())

    @cached_property
    def _at_or_above(self) -> np.ndarray:
        """Counts at or above each bin, ``(2, 15362)``; the last column, above all bins, is 0."""
        sums = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([sums, np.zeros((2, 1), np.int64)], axis=1)

    def confusion(self, threshold: float) -> tuple[int, int, int]:
        """``(true positives, false positives, false negatives)``; ``>= threshold`` is ink."""
        column = int(np.searchsorted(BIN_VALUES, threshold, side="left"))
        false_positive, true_positive = (int(n) for n in self._at_or_above[:, column])
        return true_positive, false_positive, self.ink_pixels - true_positive


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator) / float(denominator) if denominator else float("nan")


def scores(histogram: Histogram, threshold: float) -> dict[str, float]:
    """``iou f05 f1 precision recall`` at one threshold, in one look-up."""
    return scores_of(*histogram.confusion(threshold))


def scores_of(tp: int, fp: int, fn: int) -> dict[str, float]:
    """``iou f05 f1 precision recall`` from true positives, false positives and false negatives.

    F-beta is ``(1+β²)·TP / ((1+β²)·TP + β²·FN + FP)``; the field's β of one half weighs precision
    above recall, since a false letter does more harm than a missing one.
    """
    return {
        "iou": _ratio(tp, tp + fp + fn),
        "f05": _ratio(1.25 * tp, 1.25 * tp + 0.25 * fn + fp),
        "f1": _ratio(2 * tp, 2 * tp + fn + fp),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
    }


def auc(histogram: Histogram) -> float:
    """Area under the ROC curve: the chance that an ink pixel outranks one without, ties one half.

    NaN if the label has one class only.
    """
    clean, ink = histogram.counts.astype(np.float64)
    below = np.cumsum(clean) - clean
    return _ratio(float(ink @ (below + clean / 2)), clean.sum() * ink.sum())


def ap(histogram: Histogram) -> float:
    """Average precision, ``Σ (R_n − R_{n−1})·P_n`` over descending thresholds.

    No interpolation, as in scikit-learn. NaN if there is no ink in the label.
    """
    false_positive, true_positive = histogram._at_or_above[:, :-1].astype(np.float64)
    ink = histogram.counts[1].astype(np.float64)
    found = ink > 0
    gained = ink[found] * true_positive[found] / (true_positive + false_positive)[found]
    return _ratio(float(gained.sum()), ink.sum())


def ece(histogram: Histogram, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the ink probability.

    Mean over pixels of ``|share of ink − mean probability|`` in each of ``bins`` equal intervals
    ``[k/bins, (k+1)/bins)``, the last one closed. NaN without pixels.
    """
    interval = np.minimum((BIN_VALUES * bins).astype(np.int64), bins - 1)
    total = histogram.counts.sum(axis=0).astype(np.float64)
    difference = np.bincount(
        interval, weights=histogram.counts[1] - BIN_VALUES * total, minlength=bins
    )
    return _ratio(float(np.abs(difference).sum()), total.sum())


def best_threshold(histogram: Histogram, beta: float = 0.5) -> float:
    """The threshold with the highest pooled F-beta, exactly.

    Every float16 probability that occurs is tried. Of several equally good ones the highest is
    taken: less ink, same score.

    Raises
    ------
    ValueError
        If the label has no ink: then no threshold is better than another.
    """
    if not histogram.ink_pixels:
        raise ValueError("a threshold cannot be chosen on a label without ink")
    occurs = np.flatnonzero(histogram.counts.sum(axis=0))
    false_positive, true_positive = histogram._at_or_above[:, occurs].astype(np.float64)
    false_negative = histogram.ink_pixels - true_positive
    weight = 1 + beta**2
    f_beta = (weight * true_positive) / (
        weight * true_positive + beta**2 * false_negative + false_positive
    )
    best = int(np.flatnonzero(f_beta == f_beta.max())[-1])
    return float(BIN_VALUES[occurs[best]])


def summary(histogram: Histogram, threshold: float) -> dict[str, float | int]:
    """All scores of a map at one threshold: ``iou f05 f1 precision recall auc ap ece`` and counts.

    The keys are those of ``napari-ink evaluate --json``.
    """
    return {
        **scores(histogram, threshold),
        "auc": auc(histogram),
        "ap": ap(histogram),
        "ece": ece(histogram),
        "threshold": float(threshold),
        "pixels": histogram.pixels,
        "ink_pixels": histogram.ink_pixels,
    }


def json_ready(values: Mapping[str, float | int]) -> dict[str, float | int | None]:
    """The same with NaN (undefined) and infinity (a cut of none) as ``None``: JSON has neither."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
    }
