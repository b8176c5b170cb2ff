"""The folded network: ordinary, and equal to the one it came from."""

import itertools

import numpy as np
import pytest
import torch
from small_networks import experienced
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.models.activations import ACTIVATIONS
from napari_ink.models.collapse import COLLAPSES
from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.repmode import RepMode

COMBINATIONS = [
    combination
    for combination in itertools.product(("3d", "2d"), COLLAPSES, ACTIVATIONS)
    if combination[:2] != ("2d", "none")
]


def trained(width=3, levels=2, depth=8, **arguments):
    """A small network whose batch norms have seen something."""
    torch.manual_seed(0)
    random = {"dropout": 0.1, "gate_noise": 0.1}
    return experienced(RepMode(width, levels, depth, ("a", "b"), **random, **arguments))


def relative(values, truth):
    return float((values - truth).abs().max() / truth.abs().max())


@torch.no_grad()
@pytest.mark.parametrize(("decoder", "collapse", "activation"), COMBINATIONS)
def test_folded_equals_unfolded(decoder, collapse, activation):
    network = trained(decoder=decoder, collapse=collapse, activation=activation)
    volume = torch.randn(2, 1, 8, 16, 12)
    maps = []
    for task in (0, 1):
        truth = network(volume, torch.full((2,), task))
        folded = network.fold(task)
        assert relative(folded(volume), truth) < 1e-5
        assert truth.std() > 1e-3
        maps.append(truth)
    assert relative(*maps) > 1e-4
    kinds = MoDEConv3d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout3d
    assert not any(isinstance(module, kinds) for module in folded.modules())


@torch.no_grad()
@pytest.mark.parametrize(
    ("width", "levels", "depth"), [(2, 1, 2), (8, 1, 6), (2, 3, 8), (4, 2, 12), (2, 3, 24)]
)
@pytest.mark.parametrize(("decoder", "collapse"), sorted({pair[:2] for pair in COMBINATIONS}))
def test_folding_holds_at_any_width_and_number_of_levels_and_at_odd_depths(
    decoder, collapse, width, levels, depth
):
    network = trained(width, levels, depth, decoder=decoder, collapse=collapse, activation="frelu")
    volume = torch.randn(2, 1, depth, 2 * 2**levels, 3 * 2**levels)
    truth = network(volume, torch.ones(2, dtype=torch.int64))
    assert truth.std() > 1e-4
    assert relative(network.fold(1)(volume), truth) < 1e-5


def test_folding_leaves_the_network_as_it_was_and_shares_no_memory():
    network = trained(collapse="conv2d", decoder="2d").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = network.fold("b")
    assert network.training
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_folding_while_training_is_free_of_noise():
    network = trained(collapse="mean").train()
    first, second = network.fold(0).state_dict(), network.fold(0).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
def test_gates_of_one_layer_can_be_replaced():
    network, volume = trained(collapse="mean"), torch.randn(1, 1, 8, 8, 8)
    layer = network.mode_layers()["encoder.0.1"]
    own = layer.gates(0).numpy().copy()
    plain = network.fold(0)(volume)
    assert torch.equal(network.fold(0, {"encoder.0.1": own})(volume), plain)
    off = own.copy()
    off[0] = 0  # without the 5³ expert
    by_array = network.fold(0, {"encoder.0.1": off})(volume)
    assert relative(by_array, plain) > 1e-4
    layer.conv5.zero_()  # the same by taking the expert itself away
    assert relative(network.fold(0)(volume), by_array) < 1e-5


@torch.no_grad()
def test_gates_can_be_a_function_of_the_layers_own():
    network, volume = trained(collapse="mean"), torch.randn(1, 1, 8, 8, 8)
    names = []

    def uniform(name, gates):
        names.append(name)
        assert gates.dtype == torch.float64
        return torch.full_like(gates, 0.2)

    by_function = network.fold(0, uniform)(volume)
    assert names == list(network.mode_layers())
    by_array = {
        name: np.full((5, layer.out_channels), 0.2) for name, layer in network.mode_layers().items()
    }
    assert torch.equal(network.fold(0, by_array)(volume), by_function)


def test_gates_that_do_not_fit_are_refused():
    network = trained(collapse="mean")
    with pytest.raises(SettingsError, match=r"encoder\.9\.0"):
        network.fold(0, {"encoder.9.0": np.ones((5, 3))})
    with pytest.raises(SettingsError, match="must be"):
        network.fold(0, {"head": np.ones((4, 1))})


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["3d", "2d"])
@pytest.mark.parametrize("collapse", ["conv2d", "matmul_input", "matmul_bottleneck"])
def test_folded_can_be_exported_without_change(decoder, collapse):
    folded = trained(decoder=decoder, collapse=collapse, activation="frelu").fold(0)
    volume = torch.randn(1, 1, 8, 16, 16)
    exported = torch.export.export(folded, (volume,)).module()
    torch.testing.assert_close(exported(volume), folded(volume))


@torch.no_grad()
@pytest.mark.parametrize(
    ("decoder", "collapse", "activation"),
    [("2d", "conv2d", "relu"), ("3d", "matmul_input", "mish"), ("3d", "none", "frelu")],
)
def test_folded_runs_on_openvino(decoder, collapse, activation):
    openvino = pytest.importorskip("openvino")
    folded = trained(decoder=decoder, collapse=collapse, activation=activation).fold(0)
    volume = torch.randn(1, 1, 8, 16, 16)
    model = openvino.convert_model(folded, example_input=volume)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(model, "CPU", options)
    result = torch.from_numpy(compiled(volume.numpy())[0])
    assert relative(result, folded(volume)) < 1e-4


@torch.no_grad()
def test_folded_keeps_its_values_in_channels_last_order():
    folded, volume = trained(decoder="2d").fold(0), torch.randn(1, 1, 8, 16, 16)
    truth = folded(volume)
    for module in folded.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)
    assert relative(folded(volume), truth) < 1e-5
