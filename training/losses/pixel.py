"""Losses that are means over pixels.

``counted_weight`` is for accumulated gradients. A step of k passes averages the gradients of k
losses. Were each a mean over its own pixels, a pass with few supervised pixels would weigh as much
as a full one, and k passes would not equal one pass over all. Divided instead by the *mean weight
of a pass*, (sum of the weights of all k passes) / k, the same for each of them, their average is
the mean over all pixels of the step. By default it is the sum of this pass's weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.losses.sums import counted, ratio, whole_batch


def mse(
    logits: Tensor, target: Tensor, weight: Tensor, *, counted_weight: Tensor | None = None
) -> Tensor:
    """Mean squared error of the probability."""
    logits, target, weight = counted(logits, target, weight)
    return _mean((logits.sigmoid() - target).square(), weight, counted_weight)


def bce(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    smoothing: float = 0.0,
    counted_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy with soft labels.

    Parameters
    ----------
    logits, target, weight : Tensor
        As for every loss.
    smoothing : float
        A label t becomes ``t·(1 − s) + (1 − t)·s``, so that 0 and 1 lie at s and 1 − s.
    counted_weight : Tensor, optional
        Mean weight of a pass, where gradients are accumulated; see :mod:`training.losses.pixel`.
    """
    logits, target, weight = counted(logits, target, weight)
    target = target * (1 - smoothing) + (1 - target) * smoothing
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return _mean(each, weight, counted_weight)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    counted_weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy b times ``(1 − exp(−b))^γ``, which quietens what is known already.

    Source: Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017. ``exp(−b)`` is the
    probability given to a hard label; for a soft one the form is kept, least where the
    probability equals the label.

    Parameters
    ----------
    logits, target, weight : Tensor
        As for every loss.
    alpha : float
        Weight of ink; of no ink: 1 − α.
    gamma : float
        0: cross-entropy.
    counted_weight : Tensor, optional
        As in :func:`bce`.
    """
    logits, target, weight = counted(logits, target, weight)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # At 0 a power below one has no slope.
    missed = (-torch.expm1(-entropy)).clamp_min(torch.finfo(entropy.dtype).tiny)
    balance = alpha * target + (1 - alpha) * (1 - target)
    return _mean(balance * missed**gamma * entropy, weight, counted_weight)


def _mean(each: Tensor, weight: Tensor, counted_weight: Tensor | None) -> Tensor:
    """Weighted mean over the pixels of all processes; 0 without any."""
    below = weight.sum() if counted_weight is None else counted_weight.to(weight)
    return ratio(*whole_batch((each * weight).sum(), below))
