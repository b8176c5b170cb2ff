"""Losses that compare sums of ink over the whole batch: none is a mean over pixels.

Summed over the batch and not window by window: most windows hold no ink, and a window's own
overlap would then punish a single false pixel like a missed letter. ``smooth`` (pixels) keeps a
batch without ink defined. With accumulated gradients each pass is a batch of its own: the average
of their losses is not the loss of all of them together.

With probability p, label t and weights in every sum: P = Σp, T = Σt, I = Σpt.
"""

from __future__ import annotations

from torch import Tensor

from training.losses.sums import counted, ratio, whole_batch


def dice(logits: Tensor, target: Tensor, weight: Tensor, *, smooth: float = 1.0) -> Tensor:
    """``1 − (2·I + s) / (P + T + s)``, which is :func:`fbeta` with β = 1."""
    return fbeta(logits, target, weight, beta=1.0, smooth=smooth)


def tversky(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
) -> Tensor:
    """``1 − (I + s) / (I + α·(P − I) + β·(T − I) + s)``: α for false ink, β for missed ink.

    Source: Salehi et al., *Tversky loss function for image segmentation*, MLMI 2017.
    """
    both, found, ink = _sums(logits, target, weight)
    below = both + alpha * (found - both) + beta * (ink - both) + smooth
    return 1 - ratio(both + smooth, below)


def soft_iou(logits: Tensor, target: Tensor, weight: Tensor, *, smooth: float = 1.0) -> Tensor:
    """``1 − (I + s) / (P + T − I + s)``."""
    return tversky(logits, target, weight, alpha=1.0, beta=1.0, smooth=smooth)


def power_jaccard(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    power: float = 1.75,
    smooth: float = 0.01,
) -> Tensor:
    """``1 − (I + s) / (Σp^k + Σt^k − I + s)`` with the power k.

    Source: Duque-Arias et al., *On power Jaccard losses for semantic segmentation*, VISAPP 2021;
    power and smoothing as in the muon challenge (SOURCES.md, E).
    """
    both, found, ink = _sums(logits, target, weight, power)
    return 1 - ratio(both + smooth, found + ink - both + smooth)


def fbeta(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    beta: float = 0.5,
    smooth: float = 1.0,
) -> Tensor:
    """``1 − ((1 + β²)·I + s) / (P + β²·T + s)``: one less the soft F-beta score.

    Below 1, β prefers precision to recall (the score of the Kaggle ink detection is F0.5).
    """
    both, found, ink = _sums(logits, target, weight)
    return 1 - ratio((1 + beta**2) * both + smooth, found + beta**2 * ink + smooth)


def _sums(logits: Tensor, target: Tensor, weight: Tensor, power: float = 1.0) -> tuple[Tensor, ...]:
    """I, Σp^k and Σt^k over the counted pixels of all processes."""
    logits, target, weight = counted(logits, target, weight)
    probability = logits.sigmoid()
    both = (probability * target * weight).sum()
    found, ink = ((each**power * weight).sum() for each in (probability, target))
    return whole_batch(both, found, ink)
