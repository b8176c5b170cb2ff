"""Scores and cuts in words, without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_ink.analysis.fitting import Fitted
    from napari_ink.widgets.thresholds.counted import Counted

#: Scores as papers write them.
SCORES = {"iou": "IoU", "f05": "F0.5", "f1": "F1", "precision": "precision", "recall": "recall"}


def score_line(scores: dict[str, float], metric: str) -> str:
    """``F0.5 .78 · IoU .71 · …``, the chosen metric first."""
    order = [metric, *(key for key in SCORES if key != metric)]
    return " · ".join(f"{SCORES[key]} {number(scores[key])}" for key in order if key in scores)


def number(value: float) -> str:
    """``.783``; a dash for what is undefined."""
    return "–" if np.isnan(value) else f"{value:.3f}".removeprefix("0")


def cut_text(cut: float) -> str:
    """A cut in words."""
    return "none" if cut > 1 else f"{cut:.3f}".removeprefix("0")


def fitted_line(fitted: Fitted, counted: Counted, one: Fitted | None = None) -> str:
    """Both scores of a fit, where they come from, and what a single cut would score there."""
    name, (here, there) = SCORES[fitted.metric], counted.said
    chosen = (
        f"{name} {number(fitted.fit_scores[fitted.metric])} where the cuts were chosen ({here})"
    )
    if not counted.report.ink_pixels.any():
        return (
            f"{chosen}. The label has no ink in the {there}, so nothing says how good they are "
            "elsewhere: draw a region to choose on."
        )
    held = number(fitted.report_scores[fitted.metric])
    line = f"{chosen}, {held} where they were not ({there}): trust the second."
    if one is None:
        return line
    alone = number(one.report_scores[fitted.metric])
    return f"{line} One cut for all layers, {cut_text(one.cuts[0])}, has {alone} there."
