"""Losses between ink logits and soft labels, counting only the pixels that were looked at.

Each takes ``(logits, target, weight)`` of one shape: logits, a label in [0, 1] and a weight that
is 0 outside papyrus or supervision. Each returns a scalar, in float32 whatever the precision of
the network (float64 stays). A pixel of weight 0 may hold anything, not-a-number included.

Sums run over the batch and, under :mod:`torch.distributed`, over the batches of all processes; see
:mod:`training.losses.sums`.
"""

from __future__ import annotations

from training.losses.overlap import dice, fbeta, power_jaccard, soft_iou, tversky
from training.losses.pixel import bce, focal, mse
from training.losses.weighted import LOSSES, Loss, WeightedLoss

__all__ = [
    "LOSSES",
    "Loss",
    "WeightedLoss",
    "bce",
    "dice",
    "fbeta",
    "focal",
    "mse",
    "power_jaccard",
    "soft_iou",
    "tversky",
]
