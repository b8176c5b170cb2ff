"""Sums of losses by name and weight, as a run's settings give them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from napari_ink.errors import SettingsError
from training.losses.overlap import dice, fbeta, power_jaccard, soft_iou, tversky
from training.losses.pixel import bce, focal, mse
from training.nearest import nearest

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

#: Means over pixels, which can be accumulated exactly, and losses of a whole batch.
PIXEL: dict[str, Loss] = {"mse": mse, "bce": bce, "focal": focal}
OVERLAP: dict[str, Loss] = {
    "dice": dice,
    "tversky": tversky,
    "soft_iou": soft_iou,
    "power_jaccard": power_jaccard,
    "fbeta": fbeta,
}
LOSSES: dict[str, Loss] = PIXEL | OVERLAP

#: The smallest and the largest value of each loss's parameters.
_BOUNDS = {
    "smoothing": (0, 0.5),
    "alpha": (0, 1),
    "gamma": (0, 100),
    "power": (1, 100),
    "beta": (0, 100),
    "smooth": (0, math.inf),
}


class WeightedLoss:
    """A sum of losses by name and weight.

    ``{"bce": 0.5, "fbeta": {"weight": 0.5, "beta": 0.5}}``: a number is the loss's weight; a
    mapping holds ``weight`` (default 1) and the loss's own parameters, see :data:`LOSSES`.

    Parameters
    ----------
    weights : mapping
        From names to weights or mappings.

    Raises
    ------
    SettingsError
        For an unknown loss or parameter, a value out of its bounds, or no loss at all.
    """

    def __init__(self, weights: Mapping[str, float | Mapping[str, float]]) -> None:
        if not weights:
            raise SettingsError("a run without a loss", f"choose among {', '.join(LOSSES)}")
        self._parts = [_part(name, given) for name, given in weights.items()]
        if not any(factor for factor, _, _ in self._parts):
            raise SettingsError("all losses weigh nothing", "give one a weight above 0")

    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor,
        *,
        counted_weight: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum; a label of one layer is that of every layer of a labelled volume.

        Parameters
        ----------
        logits, target, weight : Tensor
            ``(batch, 1, y, x)``, or logits ``(batch, z, y, x)``.
        counted_weight : Tensor, optional
            With accumulated gradients: ``weight.sum()`` over all passes of the step on this
            device, divided by their number; see :mod:`training.losses.pixel`.
        """
        layers = logits.numel() / weight.numel()
        target, weight = target.expand_as(logits), weight.expand_as(logits)
        extra = {} if counted_weight is None else {"counted_weight": counted_weight * layers}
        return sum(
            factor * loss(logits, target, weight, **(extra if pixel else {}))
            for factor, loss, pixel in self._parts
        )


def _part(name: str, given: float | Mapping[str, float]) -> tuple[float, Loss, bool]:
    """Weight, loss with its parameters set, and whether it is a mean over pixels."""
    if name not in LOSSES:
        raise SettingsError(f"there is no loss {name!r}", nearest(name, LOSSES))
    values = dict(given) if isinstance(given, Mapping) else {"weight": given}
    known = [
        parameter.name
        for parameter in inspect.signature(LOSSES[name]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "counted_weight"
    ]
    for key, value in values.items():
        if key not in ("weight", *known):
            raise SettingsError(
                f"the loss {name} has no setting {key!r}", nearest(key, ["weight", *known])
            )
        least, most = _BOUNDS.get(key, (0, 1e6))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not least <= value <= most:
            raise SettingsError(
                f"the loss {name} has {key} = {value!r}",
                f"give a number from {least:g}" + ("" if most == math.inf else f" to {most:g}"),
            )
    factor = values.pop("weight", 1.0)
    return float(factor), partial(LOSSES[name], **values), name in PIXEL
