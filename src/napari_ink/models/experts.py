"""Experts by name, and gates without some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_ink.errors import SettingsError
from napari_ink.models.mode import EXPERTS

if TYPE_CHECKING:
    from napari_ink.models.contract import GateOverride, InkNetwork

#: The expert that a task which was added later brings along.
OWN = "added"


def expert_names(model: InkNetwork, task: int | str = 0) -> tuple[str, ...]:
    """Names of the experts that a task's gates weigh, in their order; none without gates."""
    layers = model.mode_layers()
    if not layers:
        return ()
    own = next(iter(layers.values())).added.of(model.task_index(task), None)
    return EXPERTS if own is None else (*EXPERTS, OWN)


def checked_experts(
    model: InkNetwork, task: int | str, switched_off: Sequence[str]
) -> tuple[str, ...]:
    """Experts to switch off, each once, in the order of the gates.

    Raises
    ------
    SettingsError
        If the network has no gates or no such expert, or if none would be left.
    """
    if not switched_off:
        return ()
    names = expert_names(model, task)
    if not names:
        raise SettingsError(
            f"a {model.architecture} network with these settings has no experts to switch off",
            "leave them out, or choose a checkpoint of a gated network (RepMode)",
        )
    for name in switched_off:
        if name not in names:
            raise SettingsError(f"there is no expert {name!r}", f"choose among {', '.join(names)}")
    if set(names) <= set(switched_off):
        raise SettingsError(
            "all experts are switched off, which leaves no network", "leave at least one on"
        )
    return tuple(name for name in names if name in switched_off)


def gates_without(switched_off: Sequence[str]) -> GateOverride | None:
    """Gates for ``fold`` that leave experts out and renormalise the others, channel by channel.

    ``g'ₑ = gₑ / Σ g`` over the experts that are left: the softmax over their logits alone, so that
    what is left keeps its proportions. ``None``, the network's own gates, if none is left out.

    Parameters
    ----------
    switched_off : sequence of str
        As :func:`checked_experts` gives them.
    """
    if not switched_off:
        return None
    off = [i for i, name in enumerate((*EXPERTS, OWN)) if name in switched_off]

    def override(_layer: str, gates: Tensor) -> Tensor:
        # a gate may have underflowed; where all that are left did, they share
        left = gates.double().clamp_min(torch.finfo(torch.float64).tiny)
        left[off] = 0.0
        return left / left.sum(dim=0)

    return override
