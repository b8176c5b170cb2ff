"""Which parameters decay, and at which rate each part learns."""

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.models.registry import build
from training.learning.optimiser import OptimiserConfig, build_optimiser

SMALL = {"width": 2, "levels": 1, "depth": 4, "activation": "frelu", "collapse": "matmul_free"}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("repmode", SMALL)


def named_groups(network, optimiser):
    """Decay and rate of each parameter by its name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: (group["weight_decay"], group["lr"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_biases_norms_and_vectors_do_not_decay(name, network):
    config = OptimiserConfig(name, learning_rate=1e-3, weight_decay=0.1)
    found = named_groups(network, build_optimiser(network, config))
    assert found.keys() == {name for name, _ in network.named_parameters()}
    spared = {name for name, (decay, _) in found.items() if decay == 0}
    for module_name, module in network.named_modules():
        for own, _ in module.named_parameters(recurse=False):
            full = f"{module_name}.{own}"
            is_norm = isinstance(module, nn.BatchNorm3d | nn.BatchNorm2d)
            collapses = module_name.startswith("collapse")
            assert (full in spared) == (is_norm or own.endswith("bias") or collapses), full
    assert all(found[name][0] == 0.1 for name in found.keys() - spared)


def test_without_gradient_only_what_decays_moves(network):
    config = OptimiserConfig(learning_rate=0.5, weight_decay=0.1)
    optimiser = build_optimiser(network, config)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in network.named_parameters():
        shrunk = 0.95 if parameter.ndim > 1 else 1
        torch.testing.assert_close(parameter.detach(), before[name] * shrunk)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_three_steps_are_their_closed_form(name):
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    rate, decay, (b1, b2) = 0.1, 0.2, (0.8, 0.9)
    config = OptimiserConfig(name, rate, decay, (b1, b2))
    optimiser = build_optimiser(layer, config)
    value, mean, square = layer.weight.item(), 0.0, 0.0
    for t, slope in enumerate((1.0, -3.0, 0.5), 1):
        layer.weight.grad = torch.full((1, 1), slope, dtype=torch.float64)
        optimiser.step()
        if name == "adam":
            slope += decay * value
        else:
            value -= rate * decay * value
        mean = b1 * mean + (1 - b1) * slope
        square = b2 * square + (1 - b2) * slope**2
        value -= rate * (mean / (1 - b1**t)) / ((square / (1 - b2**t)) ** 0.5 + 1e-8)
        assert layer.weight.item() == pytest.approx(value)


def test_parts_learn_at_rates_of_their_own(network):
    rates = {"encoder": 0.5, "encoder.0.1": 0.1}
    optimiser = build_optimiser(network, OptimiserConfig(learning_rate=1e-2, rates=rates))
    assert len(optimiser.param_groups) == 6
    for name, (_, rate) in named_groups(network, optimiser).items():
        factor = 0.1 if name.startswith("encoder.0.1.") else 0.5 if "encoder." in name else 1
        assert rate == pytest.approx(1e-2 * factor), name


def test_what_is_frozen_is_left_out(network):
    network.encoder.requires_grad_(False)
    found = named_groups(network, build_optimiser(network, OptimiserConfig()))
    assert found
    assert not any(name.startswith("encoder") for name in found)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OptimiserConfig("sgd"), "optimiser.name is 'sgd': choose adam or adamw"),
        (OptimiserConfig(learning_rate=0), "optimiser.learning_rate is 0"),
        (OptimiserConfig(learning_rate=float("nan")), "optimiser.learning_rate is nan"),
        (OptimiserConfig(weight_decay=-1), "optimiser.weight_decay is -1"),
        (OptimiserConfig(betas=(0.9, 1)), "optimiser.betas"),
        (OptimiserConfig(rates={"encoder": 0}), "optimiser.rates.encoder is 0"),
        (OptimiserConfig(rates={"encodr": 1}), "called 'encodr': did you mean 'encoder'"),
        (OptimiserConfig(rates={"enc": 1}), "called 'enc'"),
    ],
)
def test_a_bad_setting_is_refused_by_name(config, message, network):
    with pytest.raises(SettingsError, match=message):
        build_optimiser(network, config)


@pytest.mark.parametrize("mixed", [True, False])
def test_gradients_of_mixed_precision_can_be_clipped(mixed):
    """As Lightning does it in bf16: it refuses a fused optimiser."""
    layer = nn.Linear(3, 1)
    optimiser = build_optimiser(layer, OptimiserConfig(), mixed=mixed)
    layer(torch.ones(2, 3)).sum().backward()
    precision = MixedPrecision("bf16-mixed", "cpu") if mixed else Precision()
    precision.clip_gradients(optimiser, 0.5, GradClipAlgorithmType.NORM)
    assert float(nn.utils.get_total_norm([p.grad for p in layer.parameters()])) <= 0.5 + 1e-5
