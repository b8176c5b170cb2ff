"""Absorbing batch norm: from a trained network to the ordinary one that is run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_ink.models.activations import FReLU
from napari_ink.models.mode import MoDEConv3d


def norm_as_affine(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift, float64, of a batch norm that uses its running statistics."""
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - scale * norm.running_mean.double()


def folded_convolution(conv: nn.Module, norm: nn.Module | None = None) -> nn.Module:
    """A convolution, plain or transposed, that includes the batch norm after it.

    Parameters
    ----------
    conv : nn.Module
        ``nn.Conv2d``, ``nn.Conv3d``, ``nn.ConvTranspose2d`` or ``nn.ConvTranspose3d``.
    norm : nn.Module, optional
        Batch norm that follows.

    Returns
    -------
    nn.Module
        Of the same kind and shape; multiplied out in float64, then cast back.
    """
    weight = conv.weight.double()
    bias = None if conv.bias is None else conv.bias.double()
    if norm is not None:
        scale, shift = norm_as_affine(norm)
        shape = [1] * weight.ndim
        shape[1 if conv.transposed else 0] = -1
        weight = weight * scale.view(shape)
        bias = shift if bias is None else shift + bias * scale
    return _like(conv, weight.to(conv.weight.dtype), bias)


def folded_mode(conv: MoDEConv3d, norm: nn.Module | None, gates: Tensor, task: int) -> nn.Module:
    """A gated convolution for one task, with the batch norm after it, as an ordinary one.

    Parameters
    ----------
    conv : MoDEConv3d
        The mixture.
    norm : nn.Module or None
        Batch norm that follows.
    gates : Tensor
        ``(experts, out_channels)`` float64.
    task : int
        Whose kernel; one that was added later has an expert of its own.
    """
    bias = None
    if norm is None and conv.out_channels == 1:
        return SingleChannelConv(conv.merge_exactly(gates, task))
    if norm is not None:
        scale, bias = norm_as_affine(norm)
        gates = gates * scale  # the kernel is linear in its gates
    shell = nn.Conv3d(conv.in_channels, conv.out_channels, 5, padding=2, device="meta")
    return _like(shell, conv.merge_exactly(gates, task), bias)


def _like(conv: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A convolution of the same geometry with this weight and bias."""
    folded = type(conv)(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=bias is not None,
        device="meta",
    )
    folded.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        folded.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)
    return folded


class SingleChannelConv(nn.Module):
    """A 5³ convolution to one channel, layer by layer.

    Processors compute output channels sixteen at a time, so that one channel costs as much as
    sixteen. Here the five taps along z are the channels of a plane convolution, and are added up
    afterwards: a fifth of the time, the same sum.

    Parameters
    ----------
    kernel : Tensor
        ``(1, in, 5, 5, 5)``.
    """

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        shell = nn.Conv3d(kernel.shape[1], 5, (1, 5, 5), padding=(0, 2, 2), device="meta")
        self.taps = _like(shell, kernel[0].transpose(0, 1).unsqueeze(2).contiguous(), None)

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, in, z, y, x)`` to ``(batch, 1, z, y, x)``."""
        taps = F.pad(self.taps(features), (0, 0, 0, 0, 2, 2))
        total = taps[:, :1, :-4]
        for tap in range(1, 5):
            total = total + taps[:, tap : tap + 1, tap : (tap - 4) or None]
        return total


class FoldedFReLU(nn.Module):
    """Funnel activation whose batch norm sits in the depthwise convolution."""

    def __init__(self, funnel: nn.Module) -> None:
        super().__init__()
        self.funnel = funnel

    def forward(self, features: Tensor) -> Tensor:
        """Same shape as ``features``."""
        return torch.maximum(features, self.funnel(features))


def folded_activation(activation: nn.Module, task: int) -> nn.Module:
    """The activation, for a task, without batch norm inside; where it can, it works in place.

    It follows a convolution whose result nobody else reads, so a second copy of the largest maps
    would only cost memory and time.
    """
    if isinstance(activation, FReLU):
        norm = activation.added_norms.of(task, activation.norm)
        return FoldedFReLU(folded_convolution(activation.funnel, norm))
    return type(activation)(inplace=True)
