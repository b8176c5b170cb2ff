"""The record that travels from the windows to the network: a batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Windows to learn from together.

    Attributes
    ----------
    volume : Tensor
        ``(batch, 1, z, y, x)`` float32, normalised.
    label : Tensor
        ``(batch, 1, y, x)`` float32, ink in [0, 1].
    weight : Tensor
        ``(batch, 1, y, x)`` float32: 1 where the label counts, 0 where it says nothing.
    task : Tensor
        ``(batch,)`` int64, index of each window's task.
    sample : Tensor
        ``(batch,)`` int64, each window's place in the run's sequence of samples, over all ranks
        and steps: the seed of everything random about it.
    """

    volume: Tensor
    label: Tensor
    weight: Tensor
    task: Tensor
    sample: Tensor
