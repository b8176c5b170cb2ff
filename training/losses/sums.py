"""Sums over the counted pixels of all processes, with gradients that survive averaging."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


class _SumOverProcesses(torch.autograd.Function):
    """All-reduced sum whose gradient is multiplied by the number of processes.

    ``DistributedDataParallel`` averages the gradients of W processes, each of which holds the
    part of the gradient that flows through its own pixels; the whole batch's is the sum of the
    parts. No communication is needed in the backward pass, since every process computes the same
    loss from the same sums.
    """

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        """The sum over all processes."""
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """This process's share, times the number of processes."""
        return gradient * distributed.get_world_size()


def whole_batch(*sums: Tensor) -> tuple[Tensor, ...]:
    """Scalars of this process's pixels, summed over all processes in one exchange.

    Every process must call this equally often. The mean over processes of the gradients that
    follow, which is what ``DistributedDataParallel`` applies, equals the gradient of one process
    that holds the whole batch, however unequally the counted pixels are spread.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return sums
    if distributed.get_world_size() == 1:
        return sums
    return _SumOverProcesses.apply(torch.stack(sums)).unbind()


def counted(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three in one precision, float32 or better, with zeros where the weight is 0.

    What a masked pixel holds, infinite logits of a half-precision network included, then reaches
    neither the loss nor its gradient.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    weight = weight.to(dtype)
    inside = weight > 0
    logits = torch.where(inside, logits.to(dtype), 0)
    return logits, torch.where(inside, target.to(dtype), 0), weight


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, and 0 / 0 = 0."""
    return above / below.clamp_min(torch.finfo(below.dtype).tiny)
