"""The one kernel that a gated block applies, and what each expert has in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.gates import gate_shares

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork


@dataclass(frozen=True, eq=False)
class MergedKernel:
    """A block's kernel for one task, without the batch norm that follows it.

    With ``W = Σ_e W_e``, where ``W_e`` is expert e, as a 5³ kernel, times its gates:

    Attributes
    ----------
    task, name, block : str
        Task, and the block as the network and as figures name it.
    experts : tuple of str
        Labels of the experts.
    kernel : numpy.ndarray
        ``W``, ``(out, in, 5, 5, 5)`` float32, axes after the channels ``(z, y, x)``.
    share : numpy.ndarray
        ``(experts,)``: ``<W_e, W> / <W, W>``, the expert's part of ``W`` along ``W`` itself, over
        all channels and taps. The shares add up to 1. An expert has a negative share if it works
        against the sum of the others.
    size : numpy.ndarray
        ``(experts,)``: ``|W_e| / |W|`` (Euclidean norms). These do not add up to 1: experts that
        cancel each other can all be larger than their sum.
    energy : numpy.ndarray
        ``(5, 5, 5)``: ``W²`` summed over the channels, a tap each.
    parts : numpy.ndarray
        ``(experts, 5, 5, 5)``: the same of each ``W_e``.
    """

    task: str
    name: str
    block: str
    experts: tuple[str, ...]
    kernel: np.ndarray
    share: np.ndarray
    size: np.ndarray
    energy: np.ndarray
    parts: np.ndarray


def merged_kernel(network: InkNetwork, block: str, task: int | str = 0) -> MergedKernel:
    """The kernel of a block (``C1.2`` or ``encoder.0.1``) and its experts' shares.

    Only one expert's part is held at a time: a block of 512 channels has 131 MB of kernel.

    Raises
    ------
    SettingsError
        If the network has no gates, no such task or no such block.
    """
    import torch

    index = network.task_index(task)
    shares = gate_shares(network, index)
    at = shares.index(block)
    layer = network.mode_layers()[shares.names[at]]
    gates = torch.from_numpy(shares.values[at] / 100).to(layer.conv5.device)
    whole = layer.merge_exactly(gates, index).cpu().numpy()
    energy = _energy(whole)
    total = float(energy.sum())
    share, parts = [], []
    for expert in range(len(gates)):
        alone = torch.zeros_like(gates)
        alone[expert] = gates[expert]
        part = layer.merge_exactly(alone, index).cpu().numpy()
        share.append(float(np.einsum("oizyx,oizyx->", part, whole, dtype=np.float64)))
        parts.append(_energy(part))
    parts = np.stack(parts)
    norms = np.sqrt(parts.sum(axis=(1, 2, 3)))
    return MergedKernel(
        task=shares.task,
        name=shares.names[at],
        block=shares.blocks[at],
        experts=shares.experts,
        kernel=whole.astype(np.float32, copy=False),
        share=_over(np.array(share), total),
        size=_over(norms, np.sqrt(total)),
        energy=energy,
        parts=parts,
    )


def _energy(kernel: np.ndarray) -> np.ndarray:
    return np.einsum("oizyx,oizyx->zyx", kernel, kernel, dtype=np.float64)


def _over(values: np.ndarray, total: float) -> np.ndarray:
    """The ratio; NaN for a kernel of zeros, of which nobody has a share."""
    return values / total if total > 0 else np.full(len(values), np.nan)
