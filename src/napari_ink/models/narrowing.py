"""Dropped channels leave a folded network: what is multiplied by nothing is not computed.

Dropout before a gated convolution takes whole channels away. In a sub-network that is used for
many tiles they are known beforehand, so that the convolution becomes narrower, and so does the
layer before it where nobody else reads those channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_ink.models.folding import FoldedFReLU, SingleChannelConv
from napari_ink.models.unet import FoldedUNet

#: Factor of each channel that enters a gated layer, ``(in_channels,)``, by the layer's name:
#: 0 for a dropped one.
ChannelFactors = Mapping[str, Tensor]


class TakenSkips(nn.Module):
    """Stands at the crossing and lets only those channels of a skip pass that are read.

    Parameters
    ----------
    kept : list of Tensor or None
        Indices of the channels of each skip, level 0 first; ``None``: all.
    """

    def __init__(self, kept: list[Tensor | None]) -> None:
        super().__init__()
        self._names = []
        for level, indices in enumerate(kept):
            self._names.append(None if indices is None else f"level_{level}")
            if indices is not None:
                self.register_buffer(self._names[-1], indices)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Skips, level 0 first, and the bottleneck's output, which passes whole."""
        *skips, bottleneck = features
        taken = [
            skip if name is None else skip.index_select(1, getattr(self, name))
            for name, skip in zip(self._names, skips, strict=True)
        ]
        return (*taken, bottleneck)


def narrow(network: FoldedUNet, factors: ChannelFactors) -> FoldedUNet:
    """Multiply the channels that enter gated layers by factors, and drop those of factor 0.

    Parameters
    ----------
    network : FoldedUNet
        Changed in place.
    factors : mapping
        By the names of the gated layers; those without an entry keep all channels as they are.

    Returns
    -------
    FoldedUNet
        The same network.
    """
    before = _sole_sources(network)
    skips: list[Tensor | None] = [None] * len(network.down)
    for name, factor in factors.items():
        layer = network.get_submodule(name)
        if name in before:
            kept = _kept(factor)
            _take_outputs(before[name], kept)
        else:
            level, width = int(name.split(".")[1]), len(factor) // 2
            skips[level], up = _kept(factor[:width]), _kept(factor[width:])
            _take_outputs(network.up[level], up)
            kept = torch.cat([skips[level], up + width])
        _take_inputs(layer, kept, factor)
    if any(skip is not None for skip in skips):
        network.crossing = TakenSkips(skips)
    return network


def _sole_sources(network: FoldedUNet) -> dict[str, nn.Module]:
    """The layer whose whole result only the named gated layer reads, by that layer's name.

    The first layers of the decoder are not among them: they read a skip, which goes down too,
    beside what comes up.
    """
    pairs = [("encoder", level, pair) for level, pair in enumerate(network.encoder)]
    pairs += [("decoder", level, pair) for level, pair in enumerate(network.decoder)]
    sources = {f"{part}.{level}.1": pair[0] for part, level, pair in pairs}
    sources |= {f"encoder.{level + 1}.0": down for level, down in enumerate(network.down[:-1])}
    sources |= {"bottleneck.0": network.down[-1], "bottleneck.1": network.bottleneck[0]}
    return sources | {"head": network.decoder[0][1]}


def _kept(factor: Tensor) -> Tensor:
    """Indices of the channels to keep: one at least, since no convolution takes none."""
    kept = factor.nonzero().flatten()
    return kept if len(kept) else kept.new_zeros(1)


def _take_inputs(layer: nn.Module, kept: Tensor, factor: Tensor) -> None:
    conv = layer[0] if isinstance(layer, nn.Sequential) else layer
    if isinstance(conv, SingleChannelConv):
        conv = conv.taps
    shape = [1, -1] + [1] * (conv.weight.ndim - 2)
    scaled = conv.weight[:, kept] * factor[kept].to(conv.weight).view(shape)
    conv.weight = nn.Parameter(scaled, requires_grad=False)
    conv.in_channels = len(kept)


def _take_outputs(layer: nn.Module, kept: Tensor) -> None:
    conv, activation = layer
    axis = 1 if conv.transposed else 0
    conv.weight = nn.Parameter(conv.weight.index_select(axis, kept), requires_grad=False)
    conv.bias = nn.Parameter(conv.bias[kept], requires_grad=False)
    conv.out_channels = len(kept)
    if isinstance(activation, FoldedFReLU):
        funnel = activation.funnel
        funnel.weight = nn.Parameter(funnel.weight[kept], requires_grad=False)
        funnel.bias = nn.Parameter(funnel.bias[kept], requires_grad=False)
        funnel.in_channels = funnel.out_channels = funnel.groups = len(kept)
