"""What is random while a network learns: dropped channels, noise on gates, skipped layers."""

import pytest
import torch
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.models.layers import ConvLayer, MoDELayer, StochasticDepth
from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.registry import build
from napari_ink.models.repmode import RepMode

VARIANTS = [{"collapse": "mean"}, {"decoder": "2d", "activation": "frelu"}]


def layers_of(network):
    return {n: m for n, m in network.named_modules() if isinstance(m, MoDELayer | ConvLayer)}


def a_layer(kind, probability):
    """A layer as wide as its input, and features for 400 samples."""
    torch.manual_seed(0)
    if kind == "gated":
        layer = MoDELayer(MoDEConv3d(2, 2, 1), nn.ReLU(), 0.0, probability)
        return layer, torch.randn(400, 2, 2, 2, 2)
    conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    return ConvLayer(conv, nn.ReLU(), probability), torch.randn(400, 2, 3, 3)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gated", "plain"])
@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_each_sample_skips_a_layer_with_its_probability_or_passes_it_unscaled(kind, probability):
    layer, features = a_layer(kind, probability)
    routing = ((0, 400),)
    passed = layer(features, routing)
    skipped = torch.tensor([torch.equal(a, b) for a, b in zip(passed, features, strict=True)])
    error = (probability * (1 - probability) / 400) ** 0.5
    assert abs(skipped.float().mean() - probability) < 4 * error
    assert not torch.equal(passed, layer(features, routing))  # drawn anew in every pass
    always, _ = a_layer(kind, 0.0)
    assert torch.equal(passed[~skipped], always(features, routing)[~skipped])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gated", "plain"])
def test_skipped_samples_leave_the_layers_statistics_those_of_evaluation(kind):
    (skipping, features), (always, _) = a_layer(kind, 0.9), a_layer(kind, 0.0)
    for layer in (skipping, always):
        layer(features, ((0, 400),))
    assert torch.equal(skipping.norm.running_mean, always.norm.running_mean)
    assert torch.equal(skipping.norm.running_var, always.norm.running_var)
    assert (always.norm.running_mean != 0).all()


@pytest.mark.parametrize("kind", ["gated", "plain"])
def test_a_skipped_layer_learns_nothing_from_the_sample_and_lets_its_gradient_pass(kind):
    layer, features = a_layer(kind, 1 - 1e-9)
    features.requires_grad_()
    layer(features, ((0, 400),)).sum().backward()
    assert torch.equal(features.grad, torch.ones_like(features))
    weight = layer.conv.conv5 if kind == "gated" else layer.conv.weight
    assert weight.grad.abs().max() == 0  # a gradient all the same: every process has one to share


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_second_layer_of_every_pair_may_be_skipped_and_no_other(variant):
    network = RepMode(2, 2, 4, stochastic_depth=0.3, **variant)
    layers = layers_of(network)
    skipping = {name for name, layer in layers.items() if layer.depth.probability}
    pairs = {"encoder.0.1", "encoder.1.1", "bottleneck.1", "decoder.0.1", "decoder.1.1"}
    assert skipping == pairs
    assert {layers[name].depth.probability for name in pairs} == {0.3}


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_evaluation_and_folding_skip_nothing(variant):
    networks = []
    for probability in (0.0, 0.8):
        torch.manual_seed(0)
        networks.append(RepMode(2, 1, 4, stochastic_depth=probability, **variant))
    volume, task = torch.randn(4, 1, 4, 8, 8), torch.zeros(4, dtype=torch.long)
    without, with_it = networks
    assert not torch.equal(with_it(volume, task), without(volume, task))  # while training
    without.load_state_dict(with_it.state_dict())
    without.eval()
    with_it.eval()
    assert torch.equal(with_it(volume, task), without(volume, task))
    folded = with_it.fold()
    assert torch.equal(folded(volume), without.fold()(volume))
    assert not any(isinstance(module, StochasticDepth) for module in folded.modules())


def test_without_stochastic_depth_no_random_number_is_drawn():
    network = RepMode(2, 1, 4).train()
    torch.manual_seed(0)
    network(torch.zeros(2, 1, 4, 4, 4), torch.zeros(2, dtype=torch.long))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def test_arguments_of_before_still_build_and_only_what_is_used_is_stored():
    network = build("repmode", {"width": 2, "levels": 1, "depth": 4, "tasks": ["ink"]})
    assert "stochastic_depth" not in network.arguments
    assert build("repmode", network.arguments).arguments == network.arguments
    skipping = RepMode(2, 1, 4, stochastic_depth=0.25)
    assert build("repmode", skipping.arguments).arguments["stochastic_depth"] == 0.25
    assert network.state_dict().keys() == skipping.state_dict().keys()


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan"), "0.1", True, None])
def test_a_probability_that_is_none_is_refused(value):
    with pytest.raises(SettingsError, match="stochastic_depth"):
        build("repmode", {"stochastic_depth": value})


def seen_by(modules, network, volume, task):
    """What enters each of the modules during one pass."""
    entered = {}
    hooks = [
        module.register_forward_pre_hook(lambda m, a, n=name: entered.update({n: a[0].clone()}))
        for name, module in modules.items()
    ]
    with torch.no_grad():
        network(volume, task)
    for hook in hooks:
        hook.remove()
    return entered


def test_channels_are_dropped_where_they_enter_a_gated_convolution_and_nowhere_else():
    torch.manual_seed(0)
    network = RepMode(16, 1, 4, collapse="mean", activation="mish", dropout=0.25).train()
    gated = network.mode_layers()
    plain = {name: layer.conv for name, layer in layers_of(network).items() if name not in gated}
    volume, task = torch.randn(8, 1, 4, 8, 8), torch.zeros(8, dtype=torch.long)
    entered = seen_by(gated | plain, network, volume, task)
    assert torch.equal(entered["encoder.0.0"], volume)  # the fragment itself is never dropped
    for name, features in entered.items():
        dropped = (features.flatten(2) == 0).all(-1)
        assert (dropped == (features.flatten(2) == 0).any(-1)).all()  # whole channels or none
        if name in plain or name == "encoder.0.0":
            assert not dropped.any(), name
        else:
            error = (0.25 * 0.75 / dropped.numel()) ** 0.5
            assert abs(dropped.float().mean() - 0.25) < 4 * error, name
            assert (dropped != dropped[:1]).any(), name  # each sample has a mask of its own
    again = seen_by(gated, network.eval(), volume, task)
    assert not any((features.flatten(2) == 0).all(-1).any() for features in again.values())


@torch.no_grad()
def test_gate_noise_is_normal_on_the_logits():
    torch.manual_seed(0)
    conv = MoDEConv3d(1, 4000, tasks=1, gate_noise=0.5)
    noisy, own = conv.train().gates(0).log(), conv.eval().gates(0).log()
    noise = noisy - own  # but for what the softmax takes from all experts alike
    noise = noise - noise.mean(0)
    assert abs(noise.mean()) < 1e-6
    # Five independent numbers less their mean: variance σ² · 4/5.
    assert float(noise.var()) == pytest.approx(0.25 * 4 / 5, rel=0.05)


@torch.no_grad()
def test_gate_noise_is_drawn_once_a_pass_for_all_samples_of_a_task():
    torch.manual_seed(0)
    network = RepMode(4, 1, 4, ("a", "b"), collapse="mean", gate_noise=1.0).double().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eval()  # else samples would see each other
    one = torch.randn(1, 1, 4, 8, 8).double()
    volume, task = one.expand(4, -1, -1, -1, -1), torch.tensor([0, 1, 0, 1])
    drawn = []
    for conv in network.mode_layers().values():
        gates = conv.gates
        conv.gates = lambda task, gates=gates: drawn.append(task) or gates(task)
    first, second = network(volume, task), network(volume, task)
    assert len(drawn) == 2 * 2 * len(network.mode_layers())
    assert (first[0] - first[2]).abs().max() < 1e-12
    assert (first[1] - first[3]).abs().max() < 1e-12
    assert (first[0] - second[0]).abs().max() > 1e-6
    assert (first[1] - second[1]).abs().max() > 1e-6
