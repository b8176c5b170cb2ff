"""The detection limit: the weakest ink that is still found, and its spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TARGET = 0.90


def limit(strengths: Sequence[float], auc: Sequence[float], target: float = TARGET) -> float | None:
    """The weakest strength down to which the AUC holds the target, interpolated linearly.

    Parameters
    ----------
    strengths, auc : sequence of float
        Descending strengths, and what was reached at each.
    target : float

    Returns
    -------
    float or None
        None if the target is not even reached at the first strength. A recovery further down
        counts for nothing.
    """
    if not auc[0] >= target:
        return None
    for i in range(1, len(auc)):
        if not auc[i] >= target:
            share = (auc[i - 1] - target) / (auc[i - 1] - auc[i])
            return float(strengths[i - 1] + share * (strengths[i] - strengths[i - 1]))
    return float(strengths[-1])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (of a sample; 0 for one value) and range."""
    values = np.asarray(values, float)
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return {
        "mean": float(values.mean()),
        "sd": sd,
        "min": float(values.min()),
        "max": float(values.max()),
    }
