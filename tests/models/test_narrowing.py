"""Dropped channels become narrower convolutions, and the map stays that of the masked network."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import experienced
from torch import nn

from napari_ink.models.layers import MoDELayer
from napari_ink.models.repmode import RepMode

VARIANTS = [
    ("3d", "conv2d", "relu"),
    ("3d", "none", "frelu"),
    ("3d", "matmul_bottleneck", "mish"),
    ("2d", "conv2d", "frelu"),
    ("2d", "matmul_bottleneck", "relu"),
]


class Times(nn.Module):
    """Multiplies channels, as dropout does."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, features):
        return features * self.factor.view(1, -1, 1, 1, 1)


def network_of(decoder, collapse, activation, width=3, levels=2):
    torch.manual_seed(0)
    network = RepMode(
        width, levels, 8, ("a", "b"), decoder=decoder, collapse=collapse, activation=activation
    )
    return experienced(network)


def masked(network, factors):
    """The network itself with these factors where it would drop channels."""
    for name, module in network.named_modules():
        if isinstance(module, MoDELayer) and name in factors:
            module.dropout = Times(factors[name])
    return network


def drawn(network, rate, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(conv.in_channels, generator=generator) >= rate).float() / (1 - rate)
        for name, conv in network.mode_layers().items()
        if conv.in_channels > 1
    }


@torch.no_grad()
@pytest.mark.parametrize(("decoder", "collapse", "activation"), VARIANTS)
@settings(max_examples=8, deadline=None)
@given(rate=st.sampled_from([0.0, 0.2, 0.5, 0.9]), seed=st.integers(0, 2**31))
def test_narrow_network_gives_the_map_of_the_masked_one(decoder, collapse, activation, rate, seed):
    network = network_of(decoder, collapse, activation)
    factors = drawn(network, rate, seed)
    volume = torch.randn(1, 1, 8, 16, 12, generator=torch.Generator().manual_seed(seed))
    narrow = network.fold("b", factors=factors)
    truth = masked(network, factors)(volume, torch.ones(1, dtype=torch.int64))
    scale = truth.abs().max() + 1e-6
    assert (narrow(volume) - truth).abs().max() / scale < 1e-5


def test_dropped_channels_are_not_computed():
    network = network_of("3d", "conv2d", "relu", width=8)
    factors = drawn(network, 0.5, 1)
    whole = sum(weight.numel() for weight in network.fold(0).parameters())
    left = sum(weight.numel() for weight in network.fold(0, factors=factors).parameters())
    # A quarter where both sides of a layer are halved, a half where one is.
    assert left < 0.5 * whole


@torch.no_grad()
def test_everything_dropped_leaves_what_the_biases_say():
    network = network_of("3d", "conv2d", "relu")
    factors = drawn(network, 0.0, 0)
    factors = {name: torch.zeros_like(factor) for name, factor in factors.items()}
    volume = torch.randn(1, 1, 8, 16, 12)
    truth = masked(network, factors)
    expected = truth(volume, torch.zeros(1, dtype=torch.int64))
    found = network.fold(0, factors=factors)(volume)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_factors_of_one_change_no_bit():
    network = network_of("2d", "conv2d", "frelu")
    volume = torch.randn(1, 1, 8, 16, 12)
    whole = network.fold(0)(volume)
    assert torch.equal(network.fold(0, factors=drawn(network, 0.0, 3))(volume), whole)
