"""What each expert weighs in a network's gated convolutions: the gate chart's numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

#: The experts as figures name them, in the order of the gates (and of the published chart).
EXPERT_LABELS = ("5³", "3³", "1³", "avg 3³", "avg 5³")
#: What one reads of a whole network, in the order of charts and tables.
PARTS = ("encoder", "decoder", "overall")


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
    values : tuple of numpy.ndarray
        Of each layer ``(experts, output channels)``, in percent; columns add up to 100.
    """

    task: str
    names: tuple[str, ...]
    blocks: tuple[str, ...]
    experts: tuple[str, ...]
    values: tuple[np.ndarray, ...]

    @cached_property
    def mean(self) -> np.ndarray:
        """``(layers, experts)``: mean over the output channels; rows add up to 100."""
        return np.stack([value.mean(axis=1) for value in self.values])

    @cached_property
    def spread(self) -> np.ndarray:
        """``(layers, experts)``: standard deviation over the output channels."""
        return np.stack([value.std(axis=1) for value in self.values])

    @property
    def overall(self) -> np.ndarray:
        """``(experts,)``: mean over the layers, each counting once, in percent."""
        return self.mean.mean(axis=0)

    @cached_property
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation over the layers of each part, each layer counting once.

        ``encoder`` (with the bottleneck), ``decoder`` (with the last layer, where those are gated)
        and ``overall``, each as two ``(experts,)``.
        """
        encoder = np.array([block.startswith("C") for block in self.blocks])
        chosen = zip(PARTS, (encoder, ~encoder, encoder | True), strict=True)
        return {
            part: (self.mean[rows].mean(axis=0), self.mean[rows].std(axis=0))
            for part, rows in chosen
            if rows.any()
        }

    def index(self, block: str) -> int:
        """Position of a block, named as in figures or as in the network.

        Raises
        ------
        SettingsError
            If there is none of this name.
        """
        for names in (self.blocks, self.names):
            if block in names:
                return names.index(block)
        raise SettingsError(
            f"the network has no gated block {block!r}", f"choose one of {', '.join(self.blocks)}"
        )


@dataclass(frozen=True, eq=False)
class GateComparison:
    """Two tasks or two checkpoints, block by block.

    Attributes
    ----------
    first, second : GateShares
        With the same blocks and experts.
    """

    first: GateShares
    second: GateShares

    @property
    def difference(self) -> np.ndarray:
        """``(layers, experts)``: second less first, in percentage points; rows add up to 0."""
        return self.second.mean - self.first.mean

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Second less first of each of :attr:`GateShares.parts`, ``(experts,)``."""
        second = self.second.parts
        return {part: second[part][0] - mean for part, (mean, _) in self.first.parts.items()}


def gate_shares(network: InkNetwork, task: int | str = 0) -> GateShares:
    """Gates of every gated layer for one task, as prediction uses them (without noise).

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
    layers = network.mode_layers()
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
    values = tuple(gates[name].cpu().numpy() for name in names)
    return GateShares(
        task=network.tasks[index],
        names=tuple(names),
        blocks=tuple(labels[name] for name in names),
        experts=(*EXPERT_LABELS, "added")[: len(values[0])],
        values=values,
    )


def compare_gates(first: GateShares, second: GateShares) -> GateComparison:
    """The blocks that both have, beside one another; an expert that one lacks weighs nothing there.

    Raises
    ------
    SettingsError
        If they have no block in common.
    """
    shared = [block for block in first.blocks if block in second.blocks]
    if not shared:
        raise SettingsError(
            "the two networks have no gated block in common", "compare networks of one architecture"
        )
    experts = max(first.experts, second.experts, key=len)

    def reduced(shares: GateShares) -> GateShares:
        rows = [shares.blocks.index(block) for block in shared]
        missing = ((0, len(experts) - len(shares.experts)), (0, 0))
        return GateShares(
            task=shares.task,
            names=tuple(shares.names[row] for row in rows),
            blocks=tuple(shared),
            experts=experts,
            values=tuple(np.pad(shares.values[row], missing) for row in rows),
        )

    return GateComparison(reduced(first), reduced(second))


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
