"""What each expert weighs in a network's gated convolutions: the gate chart's numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

#: The experts as figures name them, in the order of the gates (and of the published chart).
EXPERT_LABELS = ("5³", "3³", "1³", "avg 3³", "avg 5³")


@dataclass(frozen=True, eq=False)
class GateShares:
    """Gates of one task, in percent.

    Attributes
    ----------
    task : str
        Name of the task.
    names : tuple of str
        Gated layers as the network names them, in the order in which a volume passes them.
    blocks : tuple of str
        The same as figures name them: ``C1.2`` is the second convolution of encoder level 1 (full
        resolution), the deepest ``C`` is the bottleneck, ``D1.2`` belongs to the decoder.
    experts : tuple of str
        Labels of the experts.
    mean, spread : numpy.ndarray
        ``(layers, experts)``: mean and standard deviation over the output channels, in percent.
        The means of a layer add up to 100.
    """

    task: str
    names: tuple[str, ...]
    blocks: tuple[str, ...]
    experts: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray

    @property
    def overall(self) -> np.ndarray:
        """``(experts,)``: mean over the layers, each counting once, in percent."""
        return self.mean.mean(axis=0)


def gate_shares(network: InkNetwork, task: int | str = 0) -> GateShares:
    """Mean gates of every gated layer for one task, as prediction uses them (without noise).

    Parameters
    ----------
    network : InkNetwork
        With gated layers.
    task : int or str
        Index or name.

    Raises
    ------
    SettingsError
        If the network has no gates, or no such task.
    """
    import torch

    index = network.task_index(task)
    layers = network.mode_layers() if hasattr(network, "mode_layers") else {}
    if not layers:
        raise SettingsError(
            f"a {network.architecture} network with these settings has no gates",
            "choose a checkpoint of a gated network (RepMode)",
        )
    training = network.training
    network.eval()  # gate noise belongs to training
    try:
        with torch.no_grad():
            gates = {name: 100 * layer.gates(index).double() for name, layer in layers.items()}
    finally:
        network.train(training)
    labels = {name: _block(name, layers) for name in gates}
    names = sorted(gates, key=lambda name: _place(labels[name]))
    values = [gates[name].numpy() for name in names]
    return GateShares(
        task=network.tasks[index],
        names=tuple(names),
        blocks=tuple(labels[name] for name in names),
        experts=_experts(max(len(value) for value in values)),
        mean=np.stack([value.mean(axis=1) for value in values]),
        spread=np.stack([value.std(axis=1) for value in values]),
    )


def _experts(count: int) -> tuple[str, ...]:
    """Labels of ``count`` experts; those beyond the five were added for a later task."""
    added = (f"added {i}" for i in range(1, count - len(EXPERT_LABELS) + 1))
    return (*EXPERT_LABELS[:count], *added)


def _block(name: str, layers: dict) -> str:
    """``encoder.0.1`` is ``C1.2``, ``decoder.0.0`` is ``D1.1``; the bottleneck is the last C."""
    found = re.fullmatch(r"(encoder|decoder|bottleneck)(?:\.(\d+))?\.(\d+)", name)
    if found is None:
        return name
    part, level, conv = found.groups()
    if part == "bottleneck":
        level = 1 + max(int(n.split(".")[1]) for n in layers if n.startswith("encoder."))
    return f"{'D' if part == 'decoder' else 'C'}{int(level) + 1}.{int(conv) + 1}"


def _place(block: str) -> tuple:
    """Sorts blocks in the order of a pass: down the encoder, up the decoder, then the rest."""
    found = re.fullmatch(r"([CD])(\d+)\.(\d+)", block)
    if found is None:
        return (2, 0, 0)
    part, level, conv = found[1], int(found[2]), int(found[3])
    return (0, level, conv) if part == "C" else (1, -level, conv)
