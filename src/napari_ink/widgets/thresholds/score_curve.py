"""What a score would be at every position of a slider, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.metrics import BIN_VALUES
from napari_ink.analysis.thresholds import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_ink.widgets.thresholds.counted import Counted

_STEPS = 200  # of a curve


@dataclass(frozen=True, eq=False)
class Curve:
    """A score over the position of a slider, and where the slider is now."""

    x: np.ndarray
    y: np.ndarray
    at: float
    score: float
    of: str


def score_curve(
    counted: Counted, cuts: Sequence[float], layer: int | None, metric: str, percentiles: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a slider, and the score at each; NaN where it is undefined.

    Parameters
    ----------
    counted : Counted
        With a label.
    cuts : sequence of float
        Where ink begins in each layer now.
    layer : int or None
        Whose slider it is, while the others stay; ``None``: that of all together.
    metric : str
    percentiles : bool
        Whether the slider shows percentiles.
    """
    live, whole = counted.live, counted.whole
    x = np.linspace(0, 100 if percentiles else 1, _STEPS + 1)
    found = np.zeros((3, len(x)))  # true positives, false positives, ink
    found[2] = live.ink_pixels.sum()
    if layer is not None:
        others = np.delete(live.confusion(np.array(cuts)), layer, axis=0).sum(axis=0)
        found[:2] += others[:2, None]
    for k in range(len(cuts)) if layer is None else (layer,):
        positions = x if not percentiles else whole.cuts_of(k, x)
        columns = np.searchsorted(BIN_VALUES, positions, side="left")
        clean, ink, _ = live.at_or_above[k][:, columns]
        found[:2] += ink, clean
    weights = METRICS[metric]
    against = weights.found * found[0] + weights.false * found[1] + found[2]
    unknown = np.full(len(x), np.nan)
    return x, np.divide(weights.gain * found[0], against, out=unknown, where=against > 0)
