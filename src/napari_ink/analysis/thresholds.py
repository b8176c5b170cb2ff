"""The best cuts of the layers of a prediction: one for all, one a layer, exactly.

IoU and F-beta over the pixels of all layers together are ratios of sums of what each layer counts,
and are maximised without search (Dinkelbach, Management Science 13, 1967, 492–498): at a trial
score λ every layer by itself takes the cut with the largest *numerator − λ · denominator*, what
they reach is the next λ, and when it no longer rises no other choice of cuts is better. Numbers of
pixels are integers and are compared as such, so that no rounding decides.

The mean over samples (volumes that are scored each by itself, as muon tomography is) is no such
ratio: :func:`best_for_mean` searches it layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.metrics import BIN_VALUES


class Metric(NamedTuple):
    """``gain·TP / (found·TP + false·FP + ink)``, ink being the ink pixels of the label."""

    gain: int
    found: int
    false: int


#: IoU, F0.5 and F1 in whole numbers.
METRICS = {"iou": Metric(1, 0, 1), "f05": Metric(5, 4, 4), "f1": Metric(2, 1, 1)}

#: Cuts that :func:`best_for_mean` tries, beside none at all.
GRID = np.linspace(0, 1, 201)

_ROUNDING = 2.0**-48  # relative; above that of the few float64 operations it bounds


def best_threshold(histograms: LayerHistograms, metric: str) -> float:
    """The one cut for all layers with the highest pooled score; of equals the highest.

    Raises
    ------
    ValueError
        If the label has no ink: then no cut is better than another.
    """
    return float(best_thresholds(histograms.pooled, metric)[0])


def best_thresholds(histograms: LayerHistograms, metric: str) -> np.ndarray:
    """The cut of each layer with the highest pooled score, exactly; of equals the highest.

    Parameters
    ----------
    histograms : LayerHistograms
    metric : str
        A key of :data:`METRICS`.

    Returns
    -------
    numpy.ndarray
        ``(layers,)``; :data:`~napari_ink.analysis.layer_histograms.NONE` for a layer that is best
        left without ink.

    Raises
    ------
    ValueError
        If the label has no ink.
    """
    ink = int(histograms.ink_pixels.sum())
    if not ink:
        raise ValueError("thresholds cannot be chosen on a label without ink")
    choices = [_Choices.of(histograms, layer, METRICS[metric]) for layer in range(len(histograms))]
    numerator, denominator = 0, ink
    while True:
        picks = [choice.best(numerator, denominator) for choice in choices]
        chosen = list(zip(choices, picks, strict=True))
        reached = sum(int(choice.numerators[pick]) for choice, pick in chosen)
        against = ink + sum(int(choice.denominators[pick]) for choice, pick in chosen)
        if reached * denominator <= numerator * against:
            return np.array([choice.cuts[pick] for choice, pick in chosen])
        numerator, denominator = reached, against


@dataclass(frozen=True, eq=False)
class _Choices:
    """The cuts of one layer that differ, ascending, and what each adds to the ratio."""

    cuts: np.ndarray
    numerators: np.ndarray
    denominators: np.ndarray

    @classmethod
    def of(cls, histograms: LayerHistograms, layer: int, metric: Metric) -> _Choices:
        clean, ink, _ = histograms.counts[layer]
        occur = np.append(np.flatnonzero(clean + ink), BIN_VALUES.size)
        false_positive, true_positive, _ = histograms.at_or_above[layer][:, occur]
        return cls(
            np.append(BIN_VALUES[occur[:-1]], NONE),
            metric.gain * true_positive,
            metric.found * true_positive + metric.false * false_positive,
        )

    def best(self, numerator: int, denominator: int) -> int:
        """The choice that gains most at a trial score of ``numerator / denominator``."""
        gain = self.numerators * float(denominator) - float(numerator) * self.denominators
        largest = float(self.numerators[0]) * denominator + float(numerator) * self.denominators[0]
        near = np.flatnonzero(gain >= gain.max() - _ROUNDING * largest)
        if len(near) == 1:
            return int(near[0])
        exact = [
            int(self.numerators[k]) * denominator - numerator * int(self.denominators[k])
            for k in near
        ]
        return int(near[max(range(len(near)), key=lambda at: (exact[at], at))])


class MeanBest(NamedTuple):
    """What :func:`best_for_mean` found.

    Attributes
    ----------
    threshold : float
        The best cut for all layers, and its ``global_score``.
    thresholds : numpy.ndarray
        ``(layers,)`` the cuts found from there, and their ``score``.
    """

    threshold: float
    global_score: float
    thresholds: np.ndarray
    score: float


def best_for_mean(
    samples: Iterable[LayerHistograms], metric: str, cuts: np.ndarray = GRID
) -> MeanBest:
    """Cuts with a high mean of the samples' own scores.

    The best cut for all layers first; from there the layers one after the other, each time with
    the score of whole samples, no ink at all being one of the candidates; again until no layer
    gains. The result is never below that of the one cut, and no single layer can better it.

    A sample without ink, and none found in it, scores 1, as the muon challenge has it.

    Parameters
    ----------
    samples : iterable of LayerHistograms
        Of the same layers; they are looked at one at a time.
    metric : str
        A key of :data:`METRICS`.
    cuts : numpy.ndarray
        Ascending candidates.

    Raises
    ------
    ValueError
        If there is no sample.
    """
    weights = METRICS[metric]
    columns = np.append(np.searchsorted(BIN_VALUES, cuts, side="left"), BIN_VALUES.size)
    cuts = np.append(cuts, NONE)
    tables = []
    for sample in samples:
        clean, ink, _ = np.moveaxis(sample.at_or_above[..., columns], 1, 0)
        total = np.full((1, len(cuts)), sample.ink_pixels.sum())
        tables.append(np.concatenate([ink, clean, total]))
    if not tables:
        raise ValueError("there is no sample")
    table = np.stack(tables)  # (sample, layers found + layers false + 1, cut)
    layers = table.shape[1] // 2
    found, false, ink = table[:, :layers], table[:, layers:-1], table[:, -1, :1]

    def mean(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
        """The mean score of each candidate, from ``(sample, candidate)`` counts."""
        against = weights.found * tp + weights.false * fp + ink
        scores = np.ones(against.shape)
        return np.divide(weights.gain * tp, against, out=scores, where=against > 0).mean(axis=0)

    tp, fp = found.sum(axis=1), false.sum(axis=1)
    pick = _last_best(mean(tp, fp))
    score = overall = mean(tp, fp)[pick]
    picks = np.full(layers, pick)
    tp, fp = tp[:, [pick]], fp[:, [pick]]
    gained = True
    while gained:
        gained = False
        for layer in range(layers):
            others = tp - found[:, layer, [picks[layer]]], fp - false[:, layer, [picks[layer]]]
            candidates = mean(others[0] + found[:, layer], others[1] + false[:, layer])
            best = _last_best(candidates)
            if candidates[best] > score:
                picks[layer], score, gained = best, candidates[best], True
                tp, fp = others[0] + found[:, layer, [best]], others[1] + false[:, layer, [best]]
    return MeanBest(float(cuts[pick]), float(overall), cuts[picks], float(score))


def _last_best(scores: np.ndarray) -> int:
    return int(np.flatnonzero(scores == scores.max())[-1])


def mean_score(samples: Iterable[LayerHistograms], metric: str, cuts: float | np.ndarray) -> float:
    """The mean of the samples' own scores at given cuts, as :func:`best_for_mean` counts it."""
    weights = METRICS[metric]
    scores = []
    for sample in samples:
        tp, fp, fn = map(int, sample.confusion(cuts).sum(axis=0))
        against = weights.found * tp + weights.false * fp + tp + fn
        scores.append(weights.gain * tp / against if against else 1.0)
    return float(np.mean(scores))
