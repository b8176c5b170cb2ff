"""Cuts fitted on one part of a fragment and reported on another, as the record that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.metrics import json_ready
from napari_ink.analysis.parts import WHOLE, Part
from napari_ink.analysis.thresholds import (
    best_for_mean,
    best_threshold,
    best_thresholds,
    mean_score,
)
from napari_ink.errors import FragmentError


@dataclass(frozen=True, eq=False)
class Fitted:
    """Cuts, and how good they are where.

    Attributes
    ----------
    cuts : numpy.ndarray
        ``(layers,)``; infinite: none.
    names : list of str
        Of the layers.
    per_layer : bool
        Whether they were chosen layer by layer.
    metric : str
        What was maximised; empty: nothing, they were chosen by hand or as a percentile.
    fit, report : Part
        Where they were chosen, and where they were scored.
    fit_scores, report_scores : dict
        ``iou f05 f1 precision recall`` there.
    percentile : float, optional
        Of each layer, that the cuts were taken at.
    """

    cuts: np.ndarray
    names: list[str]
    per_layer: bool
    metric: str = ""
    fit: Part = WHOLE
    report: Part = WHOLE
    fit_scores: dict[str, float] = field(default_factory=dict)
    report_scores: dict[str, float] = field(default_factory=dict)
    percentile: float | None = None

    @property
    def overlap(self) -> bool:
        """Whether the score comes, in part, from pixels that the cuts were chosen on."""
        return self.fit.overlaps(self.report)

    def record(self) -> dict:
        """All of it, ready for JSON: a cut of none is ``None``."""
        cuts = [float(cut) if cut < NONE else None for cut in self.cuts]
        chosen = {"thresholds": cuts} if self.per_layer else {"threshold": cuts[0]}
        if self.percentile is not None:
            chosen = {"percentile": self.percentile, "thresholds": cuts}
        return {
            "metric": self.metric or None,
            **chosen,
            "layers": list(self.names),
            "fit": {"region": str(self.fit), **json_ready(self.fit_scores)},
            "report": {"region": str(self.report), **json_ready(self.report_scores)},
            "overlap": self.overlap,
        }

    def dated(self, **others: object) -> dict:
        """The record as a prediction keeps it: the cut of every layer, when, and what else."""
        cuts = [float(cut) if cut < NONE else None for cut in self.cuts]
        saved = datetime.now(UTC).isoformat(timespec="seconds")
        return {**self.record(), "thresholds": cuts, "saved": saved, **others}


def fit_cuts(
    fit: LayerHistograms,
    report: LayerHistograms,
    names: list[str],
    metric: str,
    per_layer: bool,
    parts: tuple[Part, Part] = (WHOLE, WHOLE),
) -> Fitted:
    """The best cuts of one part, and their scores there and on the other.

    Raises
    ------
    FragmentError
        If the label has no ink where the cuts are to be chosen.
    """
    _need_ink([fit], parts[0])
    if per_layer:
        cuts = best_thresholds(fit, metric)
    else:
        cuts = np.full(len(fit), best_threshold(fit, metric))
    return Fitted(cuts, names, per_layer, metric, *parts, fit.scores(cuts), report.scores(cuts))


def fit_cuts_to_mean(
    fit: Sequence[LayerHistograms],
    report: Sequence[LayerHistograms],
    names: list[str],
    metric: str,
    per_layer: bool,
    parts: tuple[Part, Part] = (WHOLE, WHOLE),
) -> Fitted:
    """The same for the mean score of several samples; only ``metric`` is scored.

    Raises
    ------
    FragmentError
        If no label has ink.
    """
    _need_ink(fit, parts[0])
    found = best_for_mean(fit, metric)
    cuts = found.thresholds if per_layer else np.full(len(fit[0]), found.threshold)
    scores = [{metric: mean_score(samples, metric, cuts)} for samples in (fit, report)]
    return Fitted(cuts, names, per_layer, metric, *parts, *scores)


def at_percentile(
    histograms: LayerHistograms, names: list[str], percentile: float, part: Part = WHOLE
) -> Fitted:
    """The cuts at a percentile of each layer, and their scores if there is a label."""
    cuts = histograms.cuts_at(percentile)
    scores = histograms.scores(cuts) if histograms.pixels.any() else {}
    return Fitted(cuts, names, True, "", part, part, scores, scores, percentile)


def _need_ink(samples: Sequence[LayerHistograms], part: Part) -> None:
    if not any(sample.counts.any() for sample in samples):
        raise FragmentError(
            f"nothing is predicted in {_where(part)}", "choose another region to fit on"
        )
    if not any(sample.ink_pixels.any() for sample in samples):
        raise FragmentError(
            f"the label has no ink in {_where(part)}",
            "fit where the label has ink, or cut at a percentile",
        )


def _where(part: Part) -> str:
    return f"the {part}" if part.outside else str(part)
