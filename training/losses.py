"""Losses between ink logits and soft labels, counting only the pixels that were looked at.

Each takes ``(logits, target, weight)`` of one shape, ``(batch, channel, y, x)``: logits, a label
in [0, 1] and a weight that is 0 outside papyrus or supervision. Each returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from napari_ink.errors import SettingsError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def soft_bce(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy with soft labels, mean over the weighted pixels; 0 without any."""
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * weight).sum() / weight.sum().clamp_min(torch.finfo(each.dtype).tiny)


def soft_dice(logits: Tensor, target: Tensor, weight: Tensor, smooth: float = 1.0) -> Tensor:
    """``1 − (2·Σpt + s) / (Σp + Σt + s)`` with the sums over the whole batch.

    Summed over the batch and not window by window: most windows hold no ink, and a window's own
    Dice would then punish a single false pixel like a missed letter. ``smooth`` (pixels) keeps
    a batch without ink defined.
    """
    probability = logits.sigmoid() * weight
    target = target * weight
    both = (probability * target).sum()
    return 1 - (2 * both + smooth) / (probability.sum() + target.sum() + smooth)


LOSSES: dict[str, Loss] = {"bce": soft_bce, "dice": soft_dice}


class WeightedLoss:
    """A sum of losses by name and weight.

    Parameters
    ----------
    weights : mapping of str to float
        Names from :data:`LOSSES`.

    Raises
    ------
    SettingsError
        If a name is unknown, or there is none.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        unknown = sorted(set(weights) - set(LOSSES))
        if unknown or not weights:
            raise SettingsError(
                f"there is no loss {unknown[0]!r}" if unknown else "a run without a loss",
                f"choose among {', '.join(LOSSES)}",
            )
        self.parts = [(LOSSES[name], factor) for name, factor in weights.items()]

    def __call__(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The weighted sum, in float32 whatever the precision of the network."""
        logits = logits.float()
        return sum(factor * loss(logits, target, weight) for loss, factor in self.parts)
